"""The nodes of a Citus cluster: databases of one name, the extension in each, all known to one.

CREATE DATABASE and CREATE EXTENSION citus are each node's own; what is made on the coordinator
afterwards comes to the workers by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.db import Connection, connect, one_line
from harness.deploy import target
from harness.errors import RefusedError, UsageError
from harness.server import database as databases

MINIMUM_VERSION = 13
_KNOWN = "SELECT nodename, nodeport FROM pg_dist_node WHERE isactive AND noderole = 'primary'"
_HOLDS_SHARDS = """
SELECT count(*) FROM pg_dist_node WHERE isactive AND noderole = 'primary' AND shouldhaveshards
"""


class Node(NamedTuple):
    """Where a worker listens, as the coordinator reaches it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Node:
        """`host:port`, the port 5432 where none is said; UsageError for anything else."""
        host, _, port = text.rpartition(":") if ":" in text else (text, "", "5432")
        if not host or not port.isdigit():
            raise UsageError(f"--workers {text}: a worker is named as host:port")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def is_cluster(connection: Connection) -> bool:
    """Whether the database has the extension."""
    query = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
    return connection.execute(query).fetchone() == (True,)


def join(coordinator: str, workers: Sequence[Node]) -> None:
    """Adds the workers that the coordinator does not know, and sees that shards have a place.

    A worker's database is made where it is missing and refused where it holds something.
    """
    with connect(coordinator, autocommit=True) as connection:
        _have_extension(connection, workers)
        known = {Node(*row) for row in connection.execute(_KNOWN)}
        missing = [worker for worker in workers if worker not in known]
        if missing:
            _introduce(connection)
        for worker in missing:
            _make(dsn_of(coordinator, worker), worker)
            connection.execute("SELECT citus_add_node(%s, %s)", list(worker))
        if connection.execute(_HOLDS_SHARDS.encode()).fetchone() == (0,):
            raise RefusedError(
                f"database {connection.info.dbname} knows no worker that shards could be on: "
                "name them with --workers host:port"
            )


def make_anew(coordinator: str) -> list[Node]:
    """Drops the cluster's databases and makes the coordinator's anew, empty; its workers.

    RefusedError for databases that the harness did not make.
    """
    with connect(coordinator) as connection:
        name, workers = connection.info.dbname, []
        state = target.state(connection)
        if state not in ("empty", "unfinished"):
            target.require(connection)
        if is_cluster(connection):
            workers = [Node(*row) for row in connection.execute(_KNOWN + " AND groupid <> 0")]
    for dsn in (*(dsn_of(coordinator, worker) for worker in workers), coordinator):
        databases.drop(make_conninfo(dsn, dbname="postgres"), name)
    databases.ensure(make_conninfo(coordinator, dbname="postgres"), name)
    return workers


def hide_statements(connection: Connection) -> None:
    """Keeps from everybody but superusers what citus_stat_statements shows: the tenant of every
    statement of a role, which tenants share. As a superuser."""
    revoke = "REVOKE SELECT ON citus_stat_statements FROM PUBLIC"
    connection.execute("SELECT run_command_on_all_nodes(%s)", [revoke])


def let_functions_ask(connection: Connection, roles: Sequence[str]) -> None:
    """Lets what these roles call on a shard make queries of its own. As a superuser.

    Citus refuses them, because one that goes to another node does not see what the transaction did.
    A tenant's rows are all on the node that runs the function, and a query that asks another finds
    no tenant named there, so it is an error and no wrong answer.
    """
    for role in filter(None, roles):
        command = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = on").format(
            sql.Identifier(role),
            sql.Identifier(connection.info.dbname),
            sql.SQL("citus.allow_nested_distributed_execution"),
        )
        query = "SELECT result FROM run_command_on_all_nodes(%s, false) WHERE NOT success"
        if failed := connection.execute(query, [command.as_string(connection)]).fetchone():
            raise RefusedError(f"role {role} cannot be set up on every node: {failed[0]}")


def dsn_of(coordinator: str, node: Node) -> str:
    """The DSN of the same database on another node."""
    return make_conninfo(coordinator, host=node.host, port=node.port, hostaddr="")


def _have_extension(connection: Connection, workers: Sequence[Node]) -> None:
    if not is_cluster(connection):
        if not workers:
            raise RefusedError(
                f"database {connection.info.dbname} has no extension citus: name the workers with "
                "--workers host:port to make a cluster of them, or deploy without --citus"
            )
        _extend(connection)
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'citus'")
    version = str(found.fetchone()[0])  # type: ignore[index]  # it is there
    if int(version.partition(".")[0]) < MINIMUM_VERSION:
        raise RefusedError(f"the server has Citus {version}; the harness needs 13 or later")


def _extend(connection: Connection) -> None:
    try:
        connection.execute("CREATE EXTENSION citus")
    except psycopg.Error as error:
        raise RefusedError(
            f"extension citus cannot be made on {connection.info.host}:{connection.info.port}: "
            f"{one_line(error)}; install Citus 13 there and name it first in "
            "shared_preload_libraries"
        ) from None


def _introduce(connection: Connection) -> None:
    """Tells the coordinator its own address, which workers and metadata need."""
    query = "SELECT count(*) FROM pg_dist_node WHERE groupid = 0"
    if connection.execute(query).fetchone() == (0,):
        here = [connection.info.host, connection.info.port]
        connection.execute("SELECT citus_set_coordinator_host(%s, %s)", here)


def _make(dsn: str, worker: Node) -> None:
    """Makes a worker's database, with the extension, unless it is there and empty."""
    name = str(conninfo_to_dict(dsn).get("dbname") or "")
    databases.ensure(make_conninfo(dsn, dbname="postgres"), name)
    with connect(dsn, autocommit=True) as connection:
        if target.state(connection) != "empty":
            raise RefusedError(
                f"database {name} on worker {worker} holds something; drop it there first"
            )
        if not is_cluster(connection):
            _extend(connection)
