"""Watches: looks at a server and at what processes tell, frame after frame."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from harness.db import one_line
from harness.errors import DatabaseError
from harness.live import counts, working
from harness.metrics import tenants
from harness.metrics.session import APPLICATION, Observing, observing
from harness.watch import server
from harness.watch.frame import View
from harness.watch.server import Sample

Pause = Callable[[float], bool]
"""Waits so many seconds; True when the watch is to end."""
SIZE_EVERY = 10.0
"""Seconds between two looks at the size, which reads the length of every file."""
_APPLICATION = f"{APPLICATION}: watch"
"""Who looks is not looked at."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The server to watch: how it is reached, first to last, and what its database is called."""

    conninfos: tuple[str, ...] = field(repr=False)
    database: str
    place: str


def views(watched: Watched, interval: float, pause: Pause) -> Generator[View]:
    """A view every so many seconds, until a pause says that it is the end.

    A server that does not answer is told in the view; the next one tries again.
    """
    before: View | None = None
    while True:
        try:
            for view in _of_connection(watched, interval, pause, before):
                yield view
                before = view
            return
        except (DatabaseError, psycopg.Error) as error:
            before = _seen(watched, before, lost=one_line(error))
            yield before
        if pause(interval):
            return


def _of_connection(
    watched: Watched, interval: float, pause: Pause, before: View | None
) -> Iterator[View]:
    """Views for as long as one connection lasts; rates begin anew with it."""
    applications: Counter[str] = Counter()
    with _connected(watched) as connection:
        size, sized = 0, 0.0
        version = str(connection.info.parameter_status("server_version"))
        last: Sample | None = None
        while True:
            if time.monotonic() - sized >= SIZE_EVERY:
                here = connection.info.dbname == watched.database
                size, sized = server.size(connection) if here else 0, time.monotonic()
            sample = server.take(connection, size, applications)
            before = _seen(watched, before, version, sample, last)
            yield before
            last = sample
            if _watching(connection, applications, interval, pause):
                return


def _watching(
    connection: Observing, applications: Counter[str], interval: float, pause: Pause
) -> bool:
    """Looks at who is active until the next view is due; True when the watch is to end."""
    due = time.monotonic() + interval
    while (left := due - time.monotonic()) > 0:
        if pause(min(tenants.INTERVAL, left)):
            return True
        applications += tenants.applications(connection)
    return False


def _seen(
    watched: Watched,
    before: View | None,
    version: str = "",
    sample: Sample | None = None,
    last: Sample | None = None,
    lost: str = "",
) -> View:
    return View(
        place=watched.place,
        now=time.time(),
        clock=datetime.now(UTC).strftime("%H:%M:%S UTC"),
        server=version,
        sample=sample,
        before=last,
        working=tuple(working.read()),
        loads=tuple(counts.read()),
        loads_before=before.loads if before else (),
        lost=lost,
    )


@contextmanager
def _connected(watched: Watched) -> Iterator[Observing]:
    with closing(_answering(watched)) as connection:
        connection.execute("SET statement_timeout = '10s'")
        yield connection


def _answering(watched: Watched) -> Observing:
    """By the first conninfo that leads somewhere."""
    *first, last = watched.conninfos
    for conninfo in first:
        with suppress(DatabaseError):
            return observing(conninfo, _APPLICATION)
    return observing(last, _APPLICATION)
