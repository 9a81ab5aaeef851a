"""The connection that looks at a server: read only, in nobody's way, and known by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from harness.db import MINIMUM_VERSION, is_lost, one_line
from harness.errors import DatabaseError
from harness.metrics.collector import Collector
from harness.metrics.families import Rows

APPLICATION = "harness metrics"
_SETTINGS = {
    "default_transaction_read_only": "on",
    "lock_timeout": "200ms",
    "statement_timeout": "1s",
    "search_path": "pg_catalog",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "work_mem": "16MB",
    "stats_fetch_consistency": "none",
}
"""A shared machine's processors and locks are its users'. Names are pg_catalog's, so that nobody's
function of the same name is called with the rights of who looks."""
_PATIENCE = {
    "connect_timeout": "2",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
"""A network that swallows everything is noticed in seconds."""


class Session(Protocol):
    """A server that answers."""

    @property
    def version(self) -> int:
        """Its major version."""

    def extensions(self) -> Mapping[str, str]:
        """The extensions of the database, each with its schema."""

    def ask(self, collector: Collector, schema: str, top: int) -> Rows:
        """What a collector asks for; psycopg.Error, of which is_lost() ones are the last."""

    def unseen(self) -> str:
        """What the role may not look at, and what to do; empty where it may."""

    def close(self) -> None:
        """Ends it."""


Observing = psycopg.Connection[dict[str, Any]]


def text(collector: Collector, schema: str = "") -> sql.Composed:
    """What a collector asks, known by its name in the server's statistics; `schema` is where its
    extension is."""
    # The text is the package's own, or that of whoever serves the metrics.
    named = sql.SQL(f"/* {APPLICATION}: {collector.name} */ {collector.sql}")
    return named.format(extension=sql.Identifier(schema)) if schema else sql.Composed([named])


def observing(conninfo: str, application: str = APPLICATION) -> Observing:
    """A connection that changes nothing and keeps nobody waiting.

    Raises DatabaseError where nobody answers, or a server older than 17 does.
    """
    try:
        connection = psycopg.connect(
            make_conninfo(conninfo, **_PATIENCE),
            autocommit=True,
            application_name=application,
            row_factory=dict_row,
        )
    except psycopg.Error as error:
        raise DatabaseError(f"cannot connect: {one_line(error)}") from None
    try:
        if connection.info.server_version < MINIMUM_VERSION:
            raise DatabaseError("the server is older than PostgreSQL 17, which the harness needs")
        _set(connection, _SETTINGS)
    except (DatabaseError, psycopg.Error) as error:
        connection.close()
        raise DatabaseError(one_line(error)) from None
    return connection


def _set(connection: Observing, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        connection.execute("/* harness metrics */ SELECT set_config(%s, %s, false)", [name, value])


class LiveSession:
    """A session on PostgreSQL."""

    def __init__(self, conninfo: str) -> None:
        """Connects; raises DatabaseError as `observing` does."""
        self._connection = observing(conninfo)
        self.version = self._connection.info.server_version // 10000
        self._timeout = 1.0

    def extensions(self) -> Mapping[str, str]:
        """The extensions of the database, each with its schema."""
        rows = self._connection.execute(
            "/* harness metrics */ SELECT e.extname, n.nspname FROM pg_extension AS e"
            " JOIN pg_namespace AS n ON n.oid = e.extnamespace"
        )
        return {row["extname"]: row["nspname"] for row in rows}

    def ask(self, collector: Collector, schema: str, top: int) -> Rows:
        """The rows of a collector's query."""
        if collector.timeout != self._timeout:
            _set(self._connection, {"statement_timeout": f"{collector.timeout * 1000:.0f}ms"})
            self._timeout = collector.timeout
        return self._connection.execute(text(collector, schema), {"top": top}).fetchall()

    def unseen(self) -> str:
        """What the role may not look at, and what to do; empty where it may."""
        row = self._connection.execute(
            "SELECT current_user AS role, pg_has_role('pg_monitor', 'USAGE') AS monitors"
        ).fetchone()
        if row is None or row["monitors"]:
            return ""
        return (
            f"{row['role']} does not see what others' sessions do, texts of their statements and "
            f"WAL files: GRANT pg_monitor TO {row['role']}"
        )

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()


def lost(error: psycopg.Error) -> bool:
    """Whether there is no session any more after that error."""
    return is_lost(error) or isinstance(error, psycopg.InterfaceError)
