"""The connection that looks at a server: read only, in nobody's way, and known by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

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
_PATIENCE = {"connect_timeout": "2", "tcp_user_timeout": "5000"}


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


class LiveSession:
    """A session on PostgreSQL."""

    def __init__(self, conninfo: str) -> None:
        """Connects; raises DatabaseError where nobody answers, or one older than 17 does."""
        try:
            self._connection = psycopg.connect(
                make_conninfo(conninfo, **_PATIENCE),
                autocommit=True,
                application_name=APPLICATION,
                row_factory=dict_row,
            )
            self._set(_SETTINGS)
        except psycopg.Error as error:
            raise DatabaseError(f"cannot connect: {one_line(error)}") from None
        if self._connection.info.server_version < MINIMUM_VERSION:
            self.close()
            raise DatabaseError("the harness needs PostgreSQL 17 or later")
        self.version = self._connection.info.server_version // 10000
        self._timeout = 1.0

    def extensions(self) -> Mapping[str, str]:
        """The extensions of the database, each with its schema."""
        rows = self._connection.execute(
            "SELECT e.extname, n.nspname FROM pg_extension AS e"
            " JOIN pg_namespace AS n ON n.oid = e.extnamespace"
        )
        return {row["extname"]: row["nspname"] for row in rows}

    def ask(self, collector: Collector, schema: str, top: int) -> Rows:
        """The rows of a collector's query."""
        if collector.timeout != self._timeout:
            self._set({"statement_timeout": f"{collector.timeout * 1000:.0f}ms"})
            self._timeout = collector.timeout
        # The text is the package's own, or that of whoever serves the metrics.
        text = f"/* {APPLICATION}: {collector.name} */ {collector.sql}"
        query = sql.SQL(text).format(extension=sql.Identifier(schema)) if schema else sql.SQL(text)
        return self._connection.execute(query, {"top": top}).fetchall()

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

    def _set(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self._connection.execute("SELECT set_config(%s, %s, false)", [name, value])


def lost(error: psycopg.Error) -> bool:
    """Whether there is no session any more after that error."""
    return is_lost(error) or isinstance(error, psycopg.InterfaceError)
