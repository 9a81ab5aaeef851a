"""What a server is at, looked at once: what the exporter's collectors ask, and who blocks whom,
which names sessions and statements and is therefore no metric."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from harness.metrics import collector
from harness.metrics.families import Rows
from harness.metrics.session import Observing, text

_WRITTEN = ("tup_inserted", "tup_updated", "tup_deleted")
_COUNTED = (
    *("xact_commit", "xact_rollback", "tup_returned", *_WRITTEN),
    *("blks_hit", "blks_read", "temp_bytes", "deadlocks"),
)
_ALL = 10_000
"""As many databases as there are."""
_IDLE = "idle in transaction"


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of all databases, and `at`, the second at which they were read."""

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
    schema: str
    table: str
    """Both empty where it is at no table."""
    phase: str
    ratio: float | None
    """The share that is done; None where that is not known."""


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


def take(connection: Observing, size: int, applications: Mapping[str, int]) -> Sample:
    """Looks at the server now; size and applications were read apart, at their own pace."""
    return Sample(
        totals=_totals(connection),
        sessions=_sessions(connection),
        waits=tuple(_wait(row) for row in _asked(connection, "waits")),
        blocked=tuple(Blocked(**row) for row in _blocked(connection)),
        operations=tuple(_operation(row) for row in _asked(connection, "progress")),
        size=size,
        applications=dict(applications),
    )


def size(connection: Observing) -> int:
    """Bytes of the database. Costs a look at each of its files."""
    return int(_asked(connection, "database_size")[0]["size_bytes"])


def _asked(connection: Observing, name: str) -> Rows:
    """What a collector of that name asks for."""
    asked = collector.read(collector.BUNDLED / f"{name}.toml")
    return connection.execute(text(asked), {"top": _ALL}).fetchall()


def _totals(connection: Observing) -> Totals:
    counted: Counter[str] = Counter()
    for row in _asked(connection, "database"):
        counted.update({name: row[name] or 0 for name in _COUNTED})
    return Totals(
        at=time.time(),
        commits=counted["xact_commit"],
        rollbacks=counted["xact_rollback"],
        rows_read=counted["tup_returned"],
        rows_written=sum(counted[name] for name in _WRITTEN),
        hits=counted["blks_hit"],
        reads=counted["blks_read"],
        temp_bytes=counted["temp_bytes"],
        deadlocks=counted["deadlocks"],
        wal_bytes=int(_asked(connection, "wal")[0]["bytes_total"]),
    )


def _sessions(connection: Observing) -> Sessions:
    states, rows = Counter[str](), _asked(connection, "activity")
    for row in rows:
        states[row["state"]] += row["count"]
    return Sessions(
        sessions=states.total(),
        active=states["active"],
        idle_in_transaction=sum(n for s, n in states.items() if s.startswith(_IDLE)),
        most=_asked(connection, "settings")[0]["max_connections"],
        oldest=max((float(row["max_tx_duration"]) for row in rows), default=0.0),
    )


def _wait(row: Mapping[str, Any]) -> Wait:
    event = f"{row['wait_event_type']} {row['wait_event']}"
    return Wait(event, row["description"] or "", row["waits"])


def _operation(row: Mapping[str, Any]) -> Operation:
    where = row["schemaname"] or "", row["relname"] or ""
    return Operation(row["command"], *where, row["phase"], row["ratio"])


def _blocked(connection: Observing) -> Rows:
    query = (files("harness.watch") / "locks.sql").read_text(encoding="utf-8")
    return connection.execute(query.encode()).fetchall()
