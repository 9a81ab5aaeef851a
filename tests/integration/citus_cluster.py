"""A database of one's own on the cluster that HARNESS_CITUS_DSN names, and examples in it.

The DSN is of a coordinator's database that knows its workers. Nothing else of it is used: each
database is made on every node, and dropped on every node at the end.

`PYTHONPATH=. python tests/integration/citus_cluster.py` records what examples of rules on clusters
make, for tests without a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from pglast import split
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr, TypeAdapter

from checks.reach import applications
from harness.catalog import live_cluster, stray_rows
from harness.catalog.cluster import Cluster
from harness.config import Settings, load
from harness.db import Connection, Target, connect
from harness.server.reach import reached
from tests.recorded_clusters import PRELUDE, RECORDED, Recorded, examples

ROOT_TABLE = (
    "SELECT create_distributed_table('tenant_mgmt.business', 'business_id')",
    "SELECT run_command_on_all_nodes('REVOKE SELECT ON citus_stat_statements FROM PUBLIC')",
)
_NODES = "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
_numbers = count(1)


def dsn() -> str:
    """The coordinator's; skips the test where there is none."""
    named = os.environ.get("HARNESS_CITUS_DSN")
    if not named:
        pytest.skip("HARNESS_CITUS_DSN names no coordinator")
    return named


@contextmanager
def database(coordinator: str) -> Iterator[str]:
    """The DSN of a database that spans the nodes, and holds nothing."""
    with psycopg.connect(coordinator, autocommit=True) as known:
        nodes = known.execute(_NODES).fetchall()
    servers = [make_conninfo(coordinator, host=host, port=port) for host, port in nodes]
    name = f"harness_proof_{os.getpid()}_{next(_numbers)}"
    try:
        for server in servers:
            _on(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            _on(make_conninfo(server, dbname=name), sql.SQL("CREATE EXTENSION citus"))
        own = make_conninfo(servers[0], dbname=name, options="-c citus.shard_count=4")
        _on(own, sql.SQL("SELECT citus_set_coordinator_host({}, {})").format(*nodes[0]))
        for host, port in nodes[1:]:
            _on(own, sql.SQL("SELECT citus_add_node({}, {})").format(host, port))
        yield own
    finally:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        for server in servers:
            _on(server, drop)


def _on(server: str, statement: sql.Composed | sql.SQL) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def target(own: str, settings: Settings) -> Iterator[Target]:
    """The database in the capacities that the harness has."""
    with reached(settings.model_copy(update={"dsn": SecretStr(own)})) as found:
        yield found


def send(connection: Connection, text: str) -> None:
    """The statements of a text, each in a message of its own."""
    for statement in split(text):
        connection.execute(statement.encode())


def prepare(connection: Connection) -> None:
    """What examples take for granted: the prelude, its table of tenants distributed."""
    send(connection, PRELUDE)
    for statement in ROOT_TABLE:
        connection.execute(statement.encode())
    for role in ("app_user", "app_readonly"):
        made = f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$"
        connection.execute(made.encode())


def clean(connection: Connection) -> None:
    """What an example made goes."""
    send(
        connection,
        """
        SELECT citus_remove_node(nodename, nodeport) FROM pg_dist_node WHERE NOT isactive;
        DROP SCHEMA auto CASCADE;
        CREATE SCHEMA auto;
        SELECT run_command_on_all_nodes('REVOKE SELECT ON citus_stat_statements FROM PUBLIC');
        """,
    )


def seen(connection: Connection, settings: Settings) -> Cluster:
    """The cluster as it is now."""
    return stray_rows.counted(
        connection, live_cluster.read(connection, applications(settings.roles))
    )


if __name__ == "__main__":
    settings, adapter = load(), TypeAdapter(Recorded)
    RECORDED.mkdir(exist_ok=True)
    coordinator = os.environ["HARNESS_CITUS_DSN"]
    with database(coordinator) as own, connect(own, autocommit=True) as admin:
        prepare(admin)
        for _, name, text in examples():
            send(admin, text)
            recorded = Recorded(text, seen(admin, settings))
            document = adapter.dump_json(recorded, exclude_defaults=True) + b"\n"
            Path(RECORDED, f"{name}.json").write_bytes(document)
            clean(admin)
