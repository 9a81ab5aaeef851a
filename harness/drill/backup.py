"""Tries backup and restore: full and incremental backups combined and started, a dump restored.

The server that is drilled is read alone, but for one row in harness.drill where the database is a
harness target, so that an incremental backup has something to bring back. All else happens in a
directory and on a server of the drill's own.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psycopg import sql

from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.deploy import target as targets
from harness.drill import facts, under_row_security
from harness.drill import mark as marks
from harness.drill.compare import compare, moved
from harness.drill.copied import Copied, started
from harness.drill.facts import Facts, Kind
from harness.drill.requirements import Original, look
from harness.drill.steps import Progress, Steps
from harness.drill.tools import Place, Tools, place, require
from harness.drill.workspace import workspace
from harness.drill_result import DrillFinding, DrillResult
from harness.server.account import complaint, server_account

STEPS = 13
JOBS = min(4, os.cpu_count() or 1)
SHOWN = 3
"""So many names are told in a line."""
_APPLICATION = "harness drill"
_KEPT = "of_the_backup"
"""Name of the backup's database once the dump's is restored beside it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a drill takes place."""

    database: Target
    settings: Settings
    tools: Tools
    reached: Place
    original: Original
    mark: uuid.UUID | None
    """Of the change between the backups; None where the database must not be changed."""

    def backed_up(self, name: str) -> Path:
        """The directory of a backup."""
        return self.tools.directory / name


def backup(
    database: Target,
    settings: Settings,
    programs: Path,
    work_dir: Path,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> DrillResult:
    """Drills the server of a database and tells what survived.

    Raises UsageError for what has to be set or made room for first, DatabaseError where a
    program of PostgreSQL fails.
    """
    began = time.perf_counter()
    with connect(database.admin, application_name=_APPLICATION) as connection:
        original, reached = look(connection), place(connection)
        ours = owned == original.database or targets.state(connection) == "target"
    account, steps = server_account(), Steps(STEPS, on_progress)
    with workspace(work_dir, account, original.needed) as directory:
        tools = Tools(programs, account, directory)
        require(tools, original.version)
        ground = Ground(
            database, settings, tools, reached, original, uuid.uuid4() if ours else None
        )
        with marks.taken_away(database.admin, ground.mark) if ground.mark else nullcontext():
            before = _back_up(ground, steps)
            known = _dump(ground, steps)
        _start(ground, steps, known, before)
    on_progress(STEPS, STEPS)
    return DrillResult(
        seconds=time.perf_counter() - began,
        steps=tuple(steps.taken),
        compared={kind: len(found) for kind, found in known.kinds.items()},
        rows=known.rows,
        findings=tuple(steps.findings),
        notes=tuple(steps.notes),
    )


def _back_up(ground: Ground, steps: Steps) -> Kind:
    """Full, changed, incremental, combined, each verified; how many rows there were at first."""
    full, incremental, combined = map(ground.backed_up, ("full", "incremental", "combined"))
    steps.take("full backup", lambda: _base(ground, full), full)
    with _reading(ground.database.admin) as connection:
        before = facts.counted(connection)
    _change(ground, steps)
    since = f"--incremental={full / 'backup_manifest'}"
    steps.take("incremental", lambda: _base(ground, incremental, since), incremental)
    steps.take("backups verified", lambda: _verify(ground, full, incremental))
    steps.take("combined", lambda: _combine(ground, full, incremental, combined), combined)
    steps.take("combined verified", lambda: _verify(ground, combined))
    return before


def _change(ground: Ground, steps: Steps) -> None:
    if ground.mark is None:
        steps.found(
            f"nothing was changed between the backups: {ground.original.database} was not made by "
            "the harness (--i-own-this-database allows a row in harness.drill)"
        )
        return
    with connect(ground.database.admin, application_name=_APPLICATION) as connection:
        steps.take("change", partial(marks.leave, connection, ground.mark), detail="a row")


def _base(ground: Ground, directory: Path, *options: str) -> None:
    arguments = [f"--pgdata={directory}", "--checkpoint=fast", "--no-sync", *options]
    ground.tools.do(
        "pg_basebackup",
        *arguments,
        f"--dbname={ground.reached.conninfo}",
        "--no-password",
        password=ground.reached.password,
    )


def _verify(ground: Ground, *directories: Path) -> None:
    for directory in directories:
        ground.tools.do("pg_verifybackup", "--exit-on-error", directory)


def _combine(ground: Ground, full: Path, incremental: Path, combined: Path) -> None:
    ground.tools.do("pg_combinebackup", "--no-sync", f"--output={combined}", full, incremental)


def _dump(ground: Ground, steps: Steps) -> Facts:
    """A dump and, of the very snapshot that it is of, what has to survive."""
    directory = ground.backed_up("dump")
    with _reading(ground.database.admin) as connection:
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        snapshot = row[0] if row else ""
        known = steps.take("original read", lambda: facts.read(connection, ground.settings.tenancy))
        steps.take("dump", lambda: _pg_dump(ground, directory, snapshot), directory)
    for name, told in known.broken_chains:
        steps.found(DrillFinding("original", "hash chains", name, told))
    return known


def _pg_dump(ground: Ground, directory: Path, snapshot: str) -> None:
    ground.tools.do(
        "pg_dump",
        "--format=directory",
        f"--jobs={JOBS}",
        "--no-sync",
        f"--file={directory}",
        f"--snapshot={snapshot}",
        f"--dbname={ground.reached.conninfo}",
        "--no-password",
        password=ground.reached.password,
    )


def _start(ground: Ground, steps: Steps, known: Facts, before: Kind) -> None:
    """Starts what the backups became, and restores the dump beside it."""
    original, combined = ground.original, ground.backed_up("combined")
    with ExitStack() as running:
        server = started(ground.tools, combined, original.role, original.carried)
        copy = steps.take("started", lambda: running.enter_context(server))
        _of_backup(ground, steps, known, before, copy)
        _of_dump(ground, steps, known, copy)


def _of_backup(ground: Ground, steps: Steps, known: Facts, before: Kind, copy: Copied) -> None:
    conninfo, settings = copy.conninfo(ground.original.database), ground.settings
    with _reading(conninfo) as connection:
        copied = steps.take("backup compared", lambda: facts.read(connection, settings.tenancy))
        subject = under_row_security.subject(connection, copied, settings)
        if ground.mark is not None and not marks.is_in(connection, ground.mark):
            steps.found(DrillFinding("backup", "change", marks.TABLE, "its row is missing"))
    if changed := moved(before, known.kinds["rows"]) - {marks.TABLE}:
        steps.found(_told_changed(changed))
    steps.findings += compare("backup", known, copied, {*changed, marks.TABLE})
    if subject is None:
        steps.found("no dump under row security was tried: no two tenants share a table under it")
        return
    dumps = partial(under_row_security.tried, ground.tools, conninfo, settings, subject)
    for told in steps.take("row security", lambda: list(dumps())):
        steps.found(told)


def _of_dump(ground: Ground, steps: Steps, known: Facts, copy: Copied) -> None:
    _rename(copy, ground.original.database)
    code, said = steps.take("restored", lambda: _restore(ground, copy))
    if code:
        name = ground.original.database
        steps.found(DrillFinding("dump", "restore", name, complaint(said)))
    with _reading(copy.conninfo(ground.original.database)) as connection:
        restored = steps.take(
            "dump compared", lambda: facts.read(connection, ground.settings.tenancy)
        )
    steps.findings += compare("dump", known, restored, without=("roles",))
    steps.found("a dump holds no roles: pg_dumpall --roles-only keeps them")


def _restore(ground: Ground, copy: Copied) -> tuple[int, str]:
    directory = ground.backed_up("dump")
    conninfo = copy.conninfo("template1")
    return ground.tools.ask(
        "pg_restore", "--create", f"--jobs={JOBS}", f"--dbname={conninfo}", directory
    )


def _rename(copy: Copied, name: str) -> None:
    """Keeps the backup's database beside the one that the dump is restored as."""
    with connect(copy.conninfo("template1"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(name), sql.Identifier(_KEPT)
            )
        )


def _told_changed(changed: frozenset[str]) -> str:
    names = sorted(changed)
    more = ", …" if len(names) > SHOWN else ""
    return (
        f"{len(names)} tables changed while the backups were taken, so their rows in it were not "
        f"compared: {', '.join(names[:SHOWN])}{more}"
    )


@contextmanager
def _reading(conninfo: str) -> Iterator[Connection]:
    """One snapshot of a database, to be looked at alone."""
    with connect(conninfo, application_name=_APPLICATION) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection
