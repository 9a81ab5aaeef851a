"""Lets indexes and foreign keys go while tables are loaded, and brings them back.

What went is noted in harness.deferred in the transaction in which it went, and the note goes in the
one in which it came back: whatever ends a fill, the next one finds what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import NamedTuple

import psycopg

from datagen import unmet
from datagen.deferrable import AT_ONCE, Deferrable, Stage, deferrable
from harness.catalog.model import Name
from harness.db import Connection, Target, connect
from harness.deploy import target as targets
from harness.errors import UsageError

Progress = Callable[[int, int], None]
CONNECTIONS = min(4, os.cpu_count() or 1)
"""That make indexes and check keys at once."""

_NOTES = """
CREATE TABLE IF NOT EXISTS harness.deferred (
    position   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    table_name text        NOT NULL,
    name       text        NOT NULL,
    stage      integer     NOT NULL,
    statement  text        NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE harness.deferred IS
    'What harness fill --mode fast dropped, and the statements that make it again.';
"""
_NOTE = "INSERT INTO harness.deferred (table_name, name, stage, statement) VALUES (%s, %s, %s, %s)"
_NOTED = (
    "SELECT position, table_name, name, stage, statement FROM harness.deferred ORDER BY position"
)
# Definitions name every schema; a role's own limit on statements is not meant for these. What is
# made comes with the end of its note or not at all, so that it need not be on disk at once.
_SESSION = (
    "SET search_path = ''; SET statement_timeout = 0; SET TimeZone = 'UTC';"
    " SET synchronous_commit = off"
)
# Sorting in memory; a server that was given more keeps it.
_MEMORY = """
SELECT set_config('maintenance_work_mem', '256MB', false)
WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('256MB')
"""


class _Note(NamedTuple):
    """A statement that is still to be executed."""

    position: int
    table: str
    name: str
    stage: int
    statement: str


def require_own(connection: Connection) -> None:
    """UsageError unless `harness deploy` made the database."""
    if targets.state(connection) != "target":
        raise UsageError(
            f"database {connection.info.dbname}: --mode fast drops indexes and makes them again, "
            "which is only done where harness deploy made them; leave it out"
        )


def defer(database: Target, tables: Collection[Name]) -> int:
    """Drops what of the tables can be made again after loading; how much that was.

    One transaction per table, so that a thousand tables do not need a thousand tables' locks.
    """
    if not tables:
        return 0
    with _session(database) as connection:
        connection.execute(_NOTES)
        found = deferrable(connection, tables)
        for those in found.values():
            with connection.transaction():
                _drop(connection, those)
    return sum(map(len, found.values()))


def _drop(connection: Connection, those: Sequence[Deferrable]) -> None:
    for each in those:
        connection.execute(each.drop.encode())
    notes = [(str(d.table), d.name, int(s.stage), s.text) for d in those for s in d.statements]
    with connection.cursor() as cursor:
        cursor.executemany(_NOTE, notes)


def may_miss(connection: Connection) -> bool:
    """Whether anything was ever dropped here; it takes no right to the notes."""
    return targets.keeps(connection, "deferred")


def missing(connection: Connection) -> str | None:
    """One line on what an interrupted fill left dropped, None where nothing is."""
    if not may_miss(connection):
        return None
    counts = "SELECT count(DISTINCT (table_name, name)), count(DISTINCT table_name)"
    row = connection.execute((counts + " FROM harness.deferred").encode()).fetchone()
    if not row or not row[0]:
        return None
    return (
        f"{row[0]} indexes and constraints of {row[1]} tables are missing since a fill in mode "
        "fast ended early; run harness fill again, which makes them"
    )


def restore(
    database: Target, on_progress: Progress = lambda *_: None, connections: int = CONNECTIONS
) -> dict[str, str]:
    """Makes again what is noted as dropped; what could not be made, a line by its name.

    What could not be made stays noted. Raises what ends a fill: a lost connection, a full disk.
    """
    with ExitStack() as opened:
        first = opened.enter_context(_session(database))
        if missing(first) is None:
            return {}
        notes = [_Note(*row) for row in first.execute(_NOTED).fetchall()]
        most = max(len(_batches(stage, _of(notes, stage))) for stage in AT_ONCE)
        size = min(connections, most)
        others = [opened.enter_context(_session(database)) for _ in range(1, size)]
        failed: dict[tuple[str, str], str] = {}
        done = 0
        for stage in Stage:
            waiting = [n for n in _of(notes, stage) if (n.table, n.name) not in failed]
            crew = [first, *others] if stage in AT_ONCE else [first]
            for note, error in _at_once(crew, _batches(stage, waiting)):
                done += 1
                on_progress(done, len(notes))
                if error is not None:
                    failed.setdefault((note.table, note.name), _told(note, error))
    return {f"{table} {name}": line for (table, name), line in failed.items()}


def _of(notes: Sequence[_Note], stage: Stage) -> list[_Note]:
    return [note for note in notes if note.stage == stage]


def _told(note: _Note, error: psycopg.Error) -> str:
    return (
        f"{note.table}: {note.name} cannot be made again: {unmet.brief(error)}; deploy anew and "
        "fill in mode live, which leaves such rows out"
    )


def _batches(stage: Stage, notes: Sequence[_Note]) -> list[list[_Note]]:
    """What is done one after the other: the keys of a table, which lock it against each other and
    shall come back in their order; of indexes each alone."""
    batches: dict[object, list[_Note]] = {}
    for note in notes:
        alone = note.position if stage is Stage.INDEX else note.table
        batches.setdefault(alone, []).append(note)
    return list(batches.values())


def _at_once(
    crew: Sequence[Connection], batches: Sequence[Sequence[_Note]]
) -> Iterator[tuple[_Note, psycopg.Error | None]]:
    """Executes batches of notes, each on whichever connection is free."""
    free: SimpleQueue[Connection] = SimpleQueue()
    for connection in crew:
        free.put(connection)

    def run(batch: Sequence[_Note]) -> list[tuple[_Note, psycopg.Error | None]]:
        connection = free.get()
        try:
            return [(note, _executed(connection, note)) for note in batch]
        finally:
            free.put(connection)

    with ThreadPoolExecutor(len(crew)) as pool:
        try:
            for future in as_completed([pool.submit(run, batch) for batch in batches]):
                yield from future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in crew:  # or else the end waits for an index of an hour
                connection.cancel_safe()
            raise


def _executed(connection: Connection, note: _Note) -> psycopg.Error | None:
    """Executes a note and forgets it, in one transaction; the error where it cannot be."""
    try:
        with connection.transaction():
            connection.execute(note.statement.encode())
            _forget(connection, note)
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject):
        _forget(connection, note)  # somebody made it by hand
    except psycopg.Error as error:
        if unmet.ends_the_fill(error):
            raise
        return error
    return None


def _forget(connection: Connection, note: _Note) -> None:
    connection.execute("DELETE FROM harness.deferred WHERE position = %s", [note.position])


@contextmanager
def _session(database: Target) -> Iterator[Connection]:
    """A connection that may change tables, as one that makes large indexes should be."""
    with connect(database.admin, autocommit=True) as connection:
        connection.execute(_SESSION)
        connection.execute(_MEMORY)
        yield connection
