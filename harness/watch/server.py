"""What a server is at, looked at once: a few short queries on views of PostgreSQL 17."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from harness.db import Connection


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of the server, and `at`, the second at which they were read."""

    at: float
    commits: int
    rollbacks: int
    rows_read: int
    rows_written: int
    hits: int
    reads: int
    temp_bytes: int
    deadlocks: int
    wal_bytes: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """How connections are used; `oldest` is the age of the oldest transaction in seconds."""

    sessions: int
    active: int
    idle_in_transaction: int
    most: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Wait:
    """So many sessions wait for an event, or run."""

    event: str
    description: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """A session that waits for a lock, and the one that holds it."""

    pid: int
    application: str
    query: str
    seconds: float
    object: str
    holder: int | None
    holder_application: str | None
    holder_state: str | None
    holder_query: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """Something long that the server tells the progress of."""

    command: str
    pid: int
    table: str
    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Sample:
    """All that was seen at one moment."""

    totals: Totals
    sessions: Sessions
    waits: tuple[Wait, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    operations: tuple[Operation, ...] = ()
    size: int = 0
    """Bytes of the database that is watched, as of at most ten seconds ago."""
    applications: Mapping[str, int] = field(default_factory=Counter)
    """How often each application_name was seen active since the watch began."""


def take(connection: Connection, size: int, applications: Mapping[str, int]) -> Sample:
    """Looks at the server now; size and applications were read apart, at their own pace."""
    return Sample(
        totals=Totals(*_rows(connection, "totals")[0]),
        sessions=Sessions(*_rows(connection, "sessions")[0]),
        waits=tuple(Wait(*row) for row in _rows(connection, "waits")),
        blocked=tuple(Blocked(*row) for row in _rows(connection, "locks")),
        operations=tuple(Operation(*row) for row in _rows(connection, "progress")),
        size=size,
        applications=dict(applications),
    )


def applications(connection: Connection) -> Counter[str]:
    """Who is active at the moment, by application_name."""
    return Counter(dict(_rows(connection, "applications")))


def size(connection: Connection, database: str) -> int:
    """Bytes of a database; 0 where there is no such one. Costs a look at each of its files."""
    row = connection.execute(
        "SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s", [database]
    ).fetchone()
    return int(row[0]) if row else 0


def _rows(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    text = (files("harness.watch") / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    return connection.execute(text.encode()).fetchall()
