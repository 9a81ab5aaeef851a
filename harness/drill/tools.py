"""PostgreSQL's programs as a drill runs them: as the server's account, in its own directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from harness.db import Connection
from harness.errors import DatabaseError, UsageError
from harness.server.account import Account, complaint, run

NEEDED = (
    "pg_basebackup",
    "pg_combinebackup",
    "pg_ctl",
    "pg_dump",
    "pg_restore",
    "pg_verifybackup",
    "postgres",
)


@dataclass(frozen=True, slots=True)
class Place:
    """How a server is reached by its programs. The password is kept out of their arguments, which
    everybody on the machine can read."""

    conninfo: str
    password: str = ""

    def as_database(self, name: str) -> str:
        """The conninfo for another database there."""
        return make_conninfo(self.conninfo, dbname=name)


def place(connection: Connection) -> Place:
    """Where a connection leads, whatever named it: a DSN, a service or libpq's variables."""
    return Place(make_conninfo(**connection.info.get_parameters()), connection.info.password)


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs in one directory, of one version."""

    programs: Path
    account: Account
    directory: Path

    def ask(self, name: str, *arguments: str | Path, password: str = "") -> tuple[int, str]:
        """Runs a program; its exit code and all it printed."""
        more = {"PGPASSWORD": password} if password else {}
        command = [self.programs / name, *arguments]
        done = run(command, self.account, self.directory, more)
        return done.returncode, done.stdout

    def do(self, name: str, *arguments: str | Path, password: str = "") -> str:
        """Runs a program that has to succeed; DatabaseError with what it complained of."""
        code, said = self.ask(name, *arguments, password=password)
        if code:
            raise DatabaseError(f"{name} failed: {complaint(said) or f'exit code {code}'}")
        return said


def require(tools: Tools, server_version: int) -> None:
    """UsageError where a program is missing or of another major version than the server."""
    for name in NEEDED:
        if not (tools.programs / name).exists():
            raise UsageError(
                f"{tools.programs} has no {name}; name the directory of PostgreSQL's programs "
                "with --pg-bin"
            )
    found = re.search(r"(\d+)\.", tools.do("postgres", "--version"))
    wanted = server_version // 10000
    if found is None or int(found[1]) != wanted:
        raise UsageError(
            f"the server is PostgreSQL {wanted}, the programs in {tools.programs} are of "
            f"{found[1] if found else 'no version'}; name those of {wanted} with --pg-bin"
        )
