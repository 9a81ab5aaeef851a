"""What the driver's connections wait for, sampled from pg_stat_activity while the load runs."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from harness.db import Target, connect
from harness.errors import DatabaseError
from loadtests.query import Query

APPLICATION = "harness load"
INTERVAL = 0.1
_KNOWN_BY = 200
"""So many characters of a statement tell which query it is."""

_SAMPLE: LiteralString = """
SELECT left(a.query, %s),
       CASE WHEN a.wait_event IS NULL THEN 'running'
            ELSE a.wait_event_type || ' ' || a.wait_event END,
       h.pid, left(h.query, 100), h.application_name
FROM pg_stat_activity AS a
LEFT JOIN LATERAL (
    SELECT b.pid, b.query, b.application_name
    FROM pg_stat_activity AS b
    WHERE a.wait_event_type = 'Lock' AND b.pid = ANY (pg_blocking_pids(a.pid))
    ORDER BY b.xact_start
    LIMIT 1
) AS h ON true
WHERE a.application_name = %s AND a.state = 'active' AND a.datname = current_database()
"""


@dataclass(slots=True)
class Waits:
    """Samples of one query: how often it was seen waiting for what, and who held the lock."""

    events: Counter[str] = field(default_factory=Counter)
    holders: Counter[str] = field(default_factory=Counter)

    def told(self) -> Iterator[str]:
        """In a line each, the most frequent first."""
        if self.events:
            listed = ", ".join(f"{count} {event}" for event, count in self.events.most_common(4))
            yield f"seen {self.events.total()} times: {listed}"
        if self.holders:
            holder, count = self.holders.most_common(1)[0]
            yield f"waited {count} times for a lock of {holder}"


@contextmanager
def sampled(database: Target, queries: Sequence[Query]) -> Iterator[Mapping[str, Waits]]:
    """Samples until the block ends; what was seen, by query."""
    found: defaultdict[str, Waits] = defaultdict(Waits)
    ended = threading.Event()
    names = {" ".join(q.numbered[:_KNOWN_BY].split()): q.name for q in queries}
    thread = threading.Thread(target=_sample, args=(database, names, found, ended), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(timeout=10)


def _sample(
    database: Target, names: Mapping[str, str], found: Mapping[str, Waits], ended: threading.Event
) -> None:
    """A server that goes away ends the sampling; the driver is who tells."""
    try:
        with connect(database.admin, autocommit=True, application_name="harness waits") as seen:
            while not ended.wait(INTERVAL):
                for row in seen.execute(_SAMPLE, [_KNOWN_BY, APPLICATION]).fetchall():
                    _note(names, found, *row)
    except (psycopg.Error, DatabaseError):
        return


def _note(
    names: Mapping[str, str],
    found: Mapping[str, Waits],
    statement: str,
    event: str,
    pid: int | None,
    held_by: str,
    application: str,
) -> None:
    name = names.get(" ".join(statement.split()))
    if name is None:
        return  # setting the tenant
    found[name].events[event] += 1
    if pid is not None:
        holder = names.get(" ".join(held_by.split())[:_KNOWN_BY]) or " ".join(held_by.split())
        found[name].holders[f"`{holder[:80]}` ({application or 'no application name'})"] += 1
