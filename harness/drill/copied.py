"""The server that the combined backup becomes: started from it, alone, and stopped again.

Its configuration is the drill's own. What the original's has (archiving, standbys, ports, paths
of another machine) is about the original, and must not act here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from harness.drill.tools import Tools
from harness.drill.workspace import stop_server
from harness.errors import DatabaseError
from harness.server import configuration
from harness.server.account import complaint, give
from harness.server.log import last_words

CARRIED = ("shared_preload_libraries", "max_prepared_transactions", "max_locks_per_transaction")
"""Settings without which a copy may not start or holds less than the original."""
_OWN = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "archive_mode": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "20",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",
    **dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "off"),  # nothing is kept
    "lc_messages": "C",  # what it says is looked at
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Copied:
    """A running copy of a server."""

    socket_dir: Path
    role: str

    def conninfo(self, database: str) -> str:
        """One of its databases, as the role that the original was drilled as."""
        return make_conninfo(host=str(self.socket_dir), port=5432, user=self.role, dbname=database)


@contextmanager
def started(tools: Tools, data: Path, role: str, carried: Mapping[str, str]) -> Iterator[Copied]:
    """The server of a data directory, for as long as the block takes."""
    _configure(data, tools, carried)
    log = tools.directory / "server.log"
    code, said = tools.ask(
        "pg_ctl", f"--pgdata={data}", "start", "--wait", "--timeout=600", f"--log={log}"
    )
    try:
        if code:
            raise DatabaseError(
                f"the combined backup does not start: {last_words(log) or complaint(said)}"
            )
        yield Copied(tools.directory, role)
    finally:
        stop_server(data)


def _configure(data: Path, tools: Tools, carried: Mapping[str, str]) -> None:
    settings = {**_OWN, **carried, "unix_socket_directories": str(tools.directory)}
    contents = {
        "postgresql.conf": configuration.text(settings),
        "postgresql.auto.conf": "",
        "pg_hba.conf": "local all all trust\n",
        "pg_ident.conf": "",
    }
    for name, content in contents.items():
        (data / name).write_text(content, encoding="utf-8")
        give(data / name, tools.account)
