"""Databases that tests may commit to: made of a template, emptied and used again.

A copy of the whole schema is some ten thousand files, which takes seconds to write. What most
tests leave behind is a few rows: they are deleted, and the next test begins as on a new copy. A
test that changes the schema, or fills it, costs its database.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.config import Settings
from harness.db import Target
from harness.deploy.deploy import deploy

_serial = itertools.count(1)
_MUCH = 40 << 20
"""Bytes by which a database may grow before it is not worth emptying."""
_CATALOGS = ("class", "attribute", "proc", "trigger", "constraint", "policy", "index", "type")
_FILLED = """
    SELECT n.nspname, c.relname
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|^information_schema$'
      AND (n.nspname, c.relname) <> ('harness', 'deployed_file') AND pg_relation_size(c.oid) > 0"""


@contextmanager
def database(server: Target, settings: Settings, template: str = "template0") -> Iterator[Target]:
    """A database that is dropped at the end; its name carries the pid of the worker."""
    target = create(server, settings, template)
    try:
        yield target
    finally:
        drop(server, target)


@contextmanager
def template(server: Target, settings: Settings) -> Iterator[Target]:
    """The reference schema, deployed once for all workers of a run; only copies are connected to.

    One worker at a time looks whether it is there. Each shares the lock of those that use it; who
    can have that alone at its end was the last, and drops the database. Where one ended before
    another began, it is deployed again.
    """
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    target = target_of(make_conninfo(server.admin, dbname=f"test_{run}_0"), settings)
    with psycopg.connect(server.admin, autocommit=True) as connection:
        with _looking(connection, run):
            if not _exists(connection, target):
                _deploy(server, settings, target)
            connection.execute("SELECT pg_advisory_lock_shared(%s, 1)", [run])
        yield target
        with _looking(connection, run):
            last = "SELECT pg_advisory_unlock_shared(%s, 1), pg_try_advisory_lock(%s, 1)"
            if connection.execute(last, [run, run]).fetchone() == (True, True):
                drop(server, target)


@contextmanager
def _looking(connection: psycopg.Connection[Any], run: int) -> Iterator[None]:
    connection.execute("SELECT pg_advisory_lock(%s, 0)", [run])
    yield
    connection.execute("SELECT pg_advisory_unlock(%s, 0)", [run])


def _exists(connection: psycopg.Connection[Any], target: Target) -> bool:
    query = "SELECT FROM pg_database WHERE datname = %s"
    return connection.execute(query, [name_of(target)]).fetchone() is not None


def _deploy(server: Target, settings: Settings, target: Target) -> None:
    name = {"name": sql.Identifier(name_of(target))}
    maintain(server, "CREATE DATABASE {name} TEMPLATE template0", name)
    try:
        deploy(target, settings)
    except BaseException:
        drop(server, target)
        raise


def create(server: Target, settings: Settings, template: str) -> Target:
    """Creates a database of the worker's own."""
    name = f"test_{os.getpid()}_{next(_serial)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    maintain(server, "CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy", names)
    return target_of(make_conninfo(server.admin, dbname=name), settings)


def drop(server: Target, target: Target) -> None:
    """Drops a database, if it is still there."""
    name = {"name": sql.Identifier(name_of(target))}
    maintain(server, "DROP DATABASE IF EXISTS {name} WITH (FORCE)", name)


def maintain(server: Target, command: Any, names: dict[str, sql.Identifier]) -> None:
    """Executes a command about databases."""
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(sql.SQL(command).format(**names))


def target_of(admin: str, settings: Settings) -> Target:
    """A database in its three capacities."""
    return Target(
        admin=admin,
        app=make_conninfo(admin, user=settings.roles.app),
        loader=make_conninfo(admin, user=settings.roles.loader),
    )


def name_of(target: Target) -> str:
    """The name of its database."""
    return str(conninfo_to_dict(target.admin)["dbname"])


@dataclass
class Spares:
    """Copies of one database that nobody is ever connected to, for one test at a time each."""

    server: Target
    settings: Settings
    template: Target
    made: ExitStack
    """Ends with the last test."""
    free: list[Target] = field(default_factory=list)
    _fresh: tuple[Any, ...] = ()

    @contextmanager
    def one(self) -> Iterator[Target]:
        """A copy; afterwards it is free again if it could be made as it was, else it is dropped."""
        target = self.free.pop() if self.free else self._new()
        yield target
        if self._empty(target):
            self.free.append(target)
        else:
            drop(self.server, target)

    def _new(self) -> Target:
        target = create(self.server, self.settings, name_of(self.template))
        self.made.callback(drop, self.server, target)
        if not self._fresh:
            with psycopg.connect(target.admin) as connection:
                self._fresh = _state(connection)
        return target

    def _empty(self, target: Target) -> bool:
        """Whether all that was left behind were some rows, which are deleted."""
        with psycopg.connect(target.admin) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            *catalogs, size = _state(connection)
            if catalogs != list(self._fresh[:-1]) or size > self._fresh[-1] + _MUCH:
                return False
            connection.execute("SET session_replication_role = replica")
            for relation in connection.execute(_FILLED).fetchall():
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*relation)))
        return True


def _state(connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """What changes with any change of the schema, and the size."""
    queries = [
        sql.SQL("SELECT count(*), max(xmin::text::bigint) FROM {}").format(
            sql.Identifier("pg_catalog", f"pg_{catalog}")
        )
        for catalog in _CATALOGS
    ]
    found = [connection.execute(query).fetchone() for query in queries]
    settings = connection.execute(
        "SELECT count(*) FROM pg_db_role_setting AS s JOIN pg_database AS d"
        " ON d.oid = s.setdatabase WHERE d.datname = current_database()"
    ).fetchone()
    size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size
    return (*found, settings, size[0])
