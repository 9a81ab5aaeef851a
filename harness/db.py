"""Connections: where the database is, as whom it is reached, and what a failure means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.errors import DatabaseError

Connection = psycopg.Connection[tuple[Any, ...]]
MINIMUM_VERSION = 170000


@dataclass(frozen=True, slots=True)
class Target:
    """One database, reached in three capacities. The strings are libpq conninfo."""

    admin: str = field(repr=False)
    """As a superuser or owner."""
    app: str = field(repr=False)
    """As the role that applications use, under row security."""
    loader: str = field(repr=False)
    """As a role that bypasses row security: COPY FROM is refused under it."""

    def __str__(self) -> str:
        """`database on host:port`, never a credential."""
        parts = conninfo_to_dict(self.admin)
        host = parts.get("host") or parts.get("hostaddr") or "the default host"
        port = f":{parts['port']}" if parts.get("port") else ""
        return f"{database_of(self.admin)} on {host}{port}"


def database_of(dsn: str) -> str:
    """The database that a DSN names; what cannot be read is told by who connects."""
    try:
        return str(conninfo_to_dict(dsn).get("dbname") or "the default database")
    except psycopg.ProgrammingError:
        return ""


def as_role(dsn: str, role: str) -> str:
    """The same DSN with `role` set from the start of the connection."""
    options = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(dsn, options=f"{options} -c role={role}".strip())


@contextmanager
def connect(
    conninfo: str, *, autocommit: bool = False, application_name: str = "harness"
) -> Iterator[Connection]:
    """A connection that commits at the end of the block and rolls back on an error.

    Raises DatabaseError when the server cannot be reached, is older than 17 or goes away; an
    error of a statement stays a psycopg.Error, for the caller knows what it was for.
    """
    try:
        connection = psycopg.connect(
            conninfo, autocommit=autocommit, application_name=application_name
        )
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot connect: {one_line(error)}") from None
    except psycopg.ProgrammingError as error:
        raise DatabaseError(f"the DSN cannot be read: {one_line(error)}") from None
    try:
        with connection:
            _require_version(connection)
            yield connection
    except psycopg.OperationalError as error:
        if is_lost(error):
            raise DatabaseError(f"the connection was lost: {one_line(error)}") from error
        raise


def is_lost(error: psycopg.Error) -> bool:
    """Whether an error means that there is no server any more: libpq's own, connection
    exceptions (class 08) and an operator's intervention (57P01 to 57P03).

    Where a server says so in an ERROR it is another one that it lost, a node of its cluster.
    """
    state = error.sqlstate
    if not isinstance(error, psycopg.OperationalError):
        return False
    elsewhere = error.diag.severity_nonlocalized == "ERROR"
    return state is None or (state.startswith(("08", "57P0")) and not elsewhere)


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())


def _require_version(connection: Connection) -> None:
    version = connection.info.server_version
    if version < MINIMUM_VERSION:
        raise DatabaseError(
            f"the server is PostgreSQL {version // 10000}; the harness needs 17 or later"
        )
