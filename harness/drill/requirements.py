"""What a server must allow for a drill, asked before anything is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

from harness.db import Connection, connect
from harness.drill.copied import CARRIED
from harness.errors import DatabaseError, UsageError

_ASKED = ("wal_level", "summarize_wal", "max_wal_senders", *CARRIED)
_ROLE: LiteralString = """
SELECT rolsuper OR rolreplication, rolsuper OR rolbypassrls FROM pg_roles
WHERE rolname = current_user
"""
_SIZES: LiteralString = """
SELECT coalesce(sum(pg_database_size(oid)) FILTER (
           WHERE has_database_privilege(oid, 'CONNECT')), 0)::bigint,
       pg_database_size(current_database())
FROM pg_database
"""
RESERVE = 256 << 20
"""Bytes for the log of the servers and what is sorted."""


@dataclass(frozen=True, slots=True)
class Original:
    """The server that is drilled, as far as a drill has to know it."""

    version: int
    database: str
    role: str
    cluster_size: int
    database_size: int
    settings: Mapping[str, str]

    @property
    def needed(self) -> int:
        """Bytes that a drill writes at most, about: the full backup, an incremental one, both
        combined, and the database as a dump and restored."""
        return 2 * self.cluster_size + self.cluster_size // 4 + 2 * self.database_size + RESERVE

    @property
    def carried(self) -> dict[str, str]:
        """The settings that a copy starts with."""
        return {name: self.settings[name] for name in CARRIED}


def look(connection: Connection) -> Original:
    """What there is; UsageError with all that has to be set first."""
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(_ASKED)]
    )
    settings = {name: str(value) for name, value in rows.fetchall()}
    if lacking := [*_lacking(settings), *_unfit(connection)]:
        raise UsageError(f"this server cannot be drilled yet: {'; '.join(lacking)}")
    sizes = connection.execute(_SIZES).fetchone() or (0, 0)
    info = connection.info
    return Original(info.server_version, info.dbname, info.user, sizes[0], sizes[1], settings)


def _lacking(settings: Mapping[str, str]) -> Iterator[str]:
    if settings["wal_level"] == "minimal":
        yield "set wal_level = replica and restart it"
    if int(settings["max_wal_senders"]) < 2:
        yield "set max_wal_senders = 2 or more and restart it"
    if settings["summarize_wal"] != "on":
        yield "set summarize_wal = on and reload it (incremental backups stand on it)"


def _unfit(connection: Connection) -> Iterator[str]:
    replicates, sees_all = connection.execute(_ROLE).fetchone() or (False, False)
    if not replicates:
        yield "connect as a role with REPLICATION"
    if not sees_all:
        yield "connect as a role with BYPASSRLS, for a dump by any other is refused"
    spaces = connection.execute(
        "SELECT spcname FROM pg_tablespace WHERE spcname !~ '^pg_' ORDER BY 1"
    ).fetchall()
    if spaces:
        yield f"it has tablespaces ({', '.join(name for (name,) in spaces)}), which no drill moves"


@contextmanager
def summarized(conninfo: str) -> Iterator[None]:
    """The embedded server writes summaries of its log for as long as the block takes."""
    with connect(conninfo, autocommit=True) as connection:
        if _is_summarizing(connection):
            yield
            return
        connection.execute("ALTER SYSTEM SET summarize_wal = on")
        try:
            _reload(connection)
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET summarize_wal")
            connection.execute("SELECT pg_reload_conf()")


def _reload(connection: Connection) -> None:
    """A session hears of a new configuration with one of its next statements."""
    connection.execute("SELECT pg_reload_conf()")
    for _ in range(100):
        if _is_summarizing(connection):
            return
        connection.execute("SELECT pg_sleep(0.1)")
    raise DatabaseError("the embedded server did not take summarize_wal = on")


def _is_summarizing(connection: Connection) -> bool:
    row = connection.execute("SELECT current_setting('summarize_wal')").fetchone()
    return row == ("on",)
