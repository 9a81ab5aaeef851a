"""The metrics of a live server: each collector asked when its interval has passed, and kept until.

Scrapes that come while one is being answered wait for its answer, but not for ever: of a server
that hangs they say what they say of one that is not there. A collector that fails is told and hides
no other; a server that does not answer is told by `pg_up` 0 and nothing old.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from harness.db import one_line
from harness.errors import DatabaseError
from harness.metrics.collector import Collector
from harness.metrics.families import Gathered, gathered
from harness.metrics.session import Session, lost

TOP = 10
"""How many of many are named: statements, tables."""
PATIENCE = 8.0
"""Seconds after which a scrape asks no further collector and waits for no other scrape;
Prometheus waits for ten."""


@dataclass(slots=True)
class Asked:
    """What came of a collector."""

    collector: Collector
    due: float = 0.0
    """When it may be asked again, by the clock."""
    seconds: float = 0.0
    """How long it took the last time."""
    errors: int = 0
    up: bool | None = None
    """Whether it was answered the last time; None where it was not asked yet."""
    answer: Gathered | None = None
    """None before the first time and after an error."""


@dataclass(slots=True)
class ServerMetrics:
    """A source of metrics."""

    open: Callable[[], Session]
    """Connects; raises DatabaseError."""
    collectors: Sequence[Collector]
    top: int = TOP
    clock: Callable[[], float] = time.monotonic
    tell: Callable[[str], None] = lambda _: None
    """Is told when a collector begins to fail, and why."""
    patience: float = PATIENCE
    session: Session | None = field(default=None, init=False)
    _asked: dict[str, Asked] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _rounds: int = field(default=0, init=False)
    _families: tuple[Metric, ...] = field(default=(), init=False)

    def __call__(self) -> Iterable[Metric]:
        """The families of one scrape."""
        before = self._rounds
        if not self._lock.acquire(timeout=self.patience):
            return (_up(False),)
        try:
            if self._rounds == before:
                self._ask_all()
                self._families = tuple(self._told())
                self._rounds += 1
            return self._families
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the session, if there is one."""
        with self._lock:
            self._end()

    def _ask_all(self) -> None:
        """Asks what is due and fits the server, what has waited longest first."""
        deadline = self.clock() + self.patience
        try:
            session, extensions = self._reached()
            fitting = self._fitting(session, extensions)
            for asked, schema in sorted(fitting, key=lambda each: each[0].due):
                if asked.due <= self.clock() < deadline:
                    self._ask(session, asked, schema)
        except (DatabaseError, psycopg.Error):
            self._end()

    def _reached(self) -> tuple[Session, Mapping[str, str]]:
        """The session, or another where the server was restarted, and its extensions."""
        if self.session is not None:
            try:
                return self.session, self.session.extensions()
            except psycopg.Error:
                self._end()
        self.session = self.open()
        return self.session, self.session.extensions()

    def _fitting(self, session: Session, extensions: Mapping[str, str]) -> list[tuple[Asked, str]]:
        """Collectors that the server has what they need for, and the schema of their extension;
        what is known of others is forgotten."""
        fitting = {
            each.name: (each, extensions.get(each.extension or "", ""))
            for each in self.collectors
            if each.fits(session.version) and (not each.extension or each.extension in extensions)
        }
        known = self._asked
        self._asked = {name: known.get(name) or Asked(each) for name, (each, _) in fitting.items()}
        return [(self._asked[name], schema) for name, (_, schema) in fitting.items()]

    def _ask(self, session: Session, asked: Asked, schema: str) -> None:
        """Asks one collector; raises psycopg.Error only where the session is lost by it."""
        started = self.clock()
        try:
            rows = session.ask(asked.collector, schema, self.top)
            asked.answer, asked.up = gathered(asked.collector, rows), True
        except (psycopg.Error, KeyError, TypeError, ValueError) as error:
            self._failed(asked, error)
            if isinstance(error, psycopg.Error) and lost(error):
                raise
        finally:
            asked.seconds = self.clock() - started
            asked.due = started + asked.collector.interval

    def _failed(self, asked: Asked, error: Exception) -> None:
        if asked.up is not False:
            self.tell(f"collector {asked.collector.name} failed: {one_line(error)}")
        asked.answer, asked.up = None, False
        asked.errors += 1

    def _end(self) -> None:
        """After this the server is down and nothing of it is known, but what went wrong."""
        if self.session is not None:
            self.session.close()
        self.session = None
        for asked in self._asked.values():
            asked.answer, asked.up, asked.due = None, None, 0.0

    def _told(self) -> Iterator[Metric]:
        """What is known: of the server, then of asking it."""
        yield _up(self.session is not None)
        for asked in self._asked.values():
            yield from asked.answer.families if asked.answer else ()
        yield from _of_asking(self._asked.values())


def _up(answers: bool) -> Metric:
    return GaugeMetricFamily("pg_up", "Whether the server answers (1) or not (0).", answers)


def _of_asking(asked: Iterable[Asked]) -> Iterator[Metric]:
    """How the collectors fared."""
    up = _gauge("up", "Whether a collector was answered (1) or failed (0) when last asked.")
    seconds = _gauge("seconds", "How long a collector took when last asked.")
    dropped = _gauge("dropped_series", "Series that a collector would give beyond its cap.")
    errors = CounterMetricFamily(
        "harness_collector_errors", "How often a collector failed.", labels=["collector"]
    )
    for each in asked:
        name = [each.collector.name]
        errors.add_metric(name, each.errors)
        if each.up is not None:
            up.add_metric(name, float(each.up))
            seconds.add_metric(name, each.seconds)
            dropped.add_metric(name, each.answer.dropped if each.answer else 0)
    yield from (up, seconds, dropped, errors)


def _gauge(what: str, about: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"harness_collector_{what}", about, labels=["collector"])
