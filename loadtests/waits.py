"""What the driver's connections wait for and for which tenants they work, sampled from
pg_stat_activity while the load runs."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from harness.db import Target, connect
from harness.errors import DatabaseError
from harness.metrics import tenants
from loadtests.query import Query

APPLICATION = "harness load"
INTERVAL = 0.1
_NAMED = re.compile(r"/\* (\S+) \*/")
_KNOWN_BY = 200
"""So many characters of a statement tell which query it is."""

_SAMPLE: LiteralString = """/* harness metrics: waits */
SELECT left(a.query, %s),
       CASE WHEN a.wait_event IS NULL THEN 'running'
            ELSE a.wait_event_type || ' ' || a.wait_event END,
       h.pid, left(h.query, 100), h.application_name, a.application_name
FROM pg_stat_activity AS a
LEFT JOIN LATERAL (
    SELECT b.pid, b.query, b.application_name
    FROM pg_stat_activity AS b
    WHERE a.wait_event_type = 'Lock' AND b.pid = ANY (pg_blocking_pids(a.pid))
    ORDER BY b.xact_start
    LIMIT 1
) AS h ON true
WHERE (a.application_name = %s OR starts_with(a.application_name, %s))
  AND a.state = 'active' AND a.datname = current_database()
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


@dataclass(slots=True)
class Seen:
    """What samples showed."""

    waits: defaultdict[str, Waits] = field(default_factory=lambda: defaultdict(Waits))
    """By query."""
    tenants: Counter[str] = field(default_factory=Counter)
    """How often a connection was seen at work for a tenant."""


@contextmanager
def sampled(database: Target, queries: Sequence[Query]) -> Iterator[Seen]:
    """Samples until the block ends."""
    found = Seen()
    ended = threading.Event()
    names = {" ".join(q.named[:_KNOWN_BY].split()): q.name for q in queries}
    thread = threading.Thread(target=_sample, args=(database, names, found, ended), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(timeout=10)


def _sample(
    database: Target, names: Mapping[str, str], found: Seen, ended: threading.Event
) -> None:
    """A server that goes away ends the sampling; the driver is who tells."""
    try:
        with connect(database.admin, autocommit=True, application_name="harness waits") as seen:
            while not ended.wait(INTERVAL):
                which = [_KNOWN_BY, APPLICATION, tenants.PREFIX]
                for *row, application in seen.execute(_SAMPLE, which).fetchall():
                    _note(names, found.waits, *row)
                    if application != APPLICATION:
                        found.tenants[application.removeprefix(tenants.PREFIX)] += 1
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
        named = _NAMED.match(held_by)
        holder = named[1] if named else " ".join(held_by.split())
        found[name].holders[f"`{holder[:80]}` ({application or 'no application name'})"] += 1
