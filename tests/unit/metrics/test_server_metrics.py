"""A server is asked no more often than it says, and what fails hides nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from harness.errors import DatabaseError
from harness.metrics.collector import Collector
from harness.metrics.exporter import SourcesCollector
from harness.metrics.families import Rows, gathered
from harness.metrics.server import PATIENCE, ServerMetrics


def _collector(name: str, **given: object) -> Collector:
    fields = {
        "name": name,
        "about": name,
        "prefix": f"pg_{name}",
        "metrics": {"sessions": "Sessions."},
        "labels": ("state",),
        "sql": "SELECT",
        **given,
    }
    return Collector.model_validate(fields)


@dataclass
class FakeSession:
    """Answers with one row, or with what `answers` has for a collector."""

    version: int = 17
    answers: dict[str, Callable[[], Rows]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: bool = False
    restarted: bool = False

    def extensions(self) -> Mapping[str, str]:
        if self.restarted:
            raise psycopg.OperationalError("terminating connection")
        return {"citus": "pg_catalog"}

    def ask(self, collector: Collector, schema: str, top: int) -> Rows:
        self.asked.append(collector.name)
        return self.answers.get(collector.name, lambda: [{"state": "idle", "sessions": 3}])()

    def unseen(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _text(source: Callable[[], Iterable[Metric]], **given: int) -> str:
    registry = CollectorRegistry()
    registry.register(SourcesCollector([source], **given))
    return generate_latest(registry).decode()


def _raise(error: Exception) -> Rows:
    raise error


def test_a_collector_is_asked_when_its_interval_has_passed() -> None:
    session, clock = FakeSession(), Clock()
    server = ServerMetrics(
        lambda: session, [_collector("slow", interval=60), _collector("fast")], clock=clock
    )
    for clock.now in (100, 105, 111, 161):
        assert 'pg_slow_sessions{state="idle"} 3.0' in _text(server)
    assert session.asked == ["slow", "fast", "fast", "fast", "slow"]


def test_what_the_server_lacks_is_not_asked() -> None:
    session = FakeSession()
    collectors = [
        _collector("newer", minimum=18),
        _collector("older", below=17),
        _collector("statements", extension="pg_stat_statements"),
        _collector("tenants", extension="citus"),
    ]
    text = _text(ServerMetrics(lambda: session, collectors))
    assert session.asked == ["tenants"]
    assert 'collector="newer"' not in text


def test_a_collector_that_fails_is_told_and_hides_no_other() -> None:
    told: list[str] = []
    session = FakeSession(
        answers={"bad": lambda: _raise(psycopg.errors.QueryCanceled("timeout\n"))}
    )
    clock = Clock()
    server = ServerMetrics(
        lambda: session, [_collector("bad"), _collector("good")], clock=clock, tell=told.append
    )
    _text(server)
    clock.now += 11
    text = _text(server)
    assert 'harness_collector_up{collector="bad"} 0.0' in text
    assert 'harness_collector_errors_total{collector="bad"} 2.0' in text
    assert 'pg_good_sessions{state="idle"} 3.0' in text
    assert "pg_up 1.0" in text
    assert told == ["collector bad failed: timeout"], "once"


def test_a_server_that_goes_away_is_down_and_found_again() -> None:
    down = [True, False, False]
    first = FakeSession(answers={"a": lambda: _raise(psycopg.OperationalError("closed"))})
    sessions = [first, FakeSession()]

    def opened() -> FakeSession:
        if down.pop(0):
            raise DatabaseError("cannot connect")
        return sessions.pop(0)

    server = ServerMetrics(opened, [_collector("a"), _collector("b")])
    texts = [_text(server) for _ in range(3)]
    assert ["pg_up 1.0" in text for text in texts] == [False, False, True]
    assert "pg_a_sessions" not in texts[1], "nothing old"
    assert "harness_collector_up{" not in texts[1], "it is the server that is down"
    assert first.closed
    assert first.asked == ["a"], "nobody is left to ask for b"
    assert 'harness_collector_errors_total{collector="a"} 1.0' in texts[2]


def test_a_server_that_was_restarted_is_up_at_once() -> None:
    sessions = [FakeSession(), FakeSession()]
    first = sessions[0]
    server = ServerMetrics(lambda: sessions.pop(0), [_collector("a", interval=60)])
    _text(server)
    first.restarted = True
    assert 'pg_a_sessions{state="idle"} 3.0' in _text(server)
    assert first.closed


def test_scrapes_at_once_share_one_answer() -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def slowly() -> Rows:
        waiting.set()
        assert go_on.wait(5)
        return []

    session = FakeSession(answers={"a": slowly})
    server = ServerMetrics(lambda: session, [_collector("a", interval=0)])
    scrapes = [threading.Thread(target=server) for _ in range(3)]
    scrapes[0].start()
    assert waiting.wait(5)
    scrapes[1].start()
    scrapes[2].start()
    go_on.set()
    for scrape in scrapes:
        scrape.join(5)
    assert len(session.asked) <= 2, "those that came meanwhile have one answer between them"


def test_a_scrape_stops_asking_before_prometheus_gives_up() -> None:
    clock = Clock()

    def slowly() -> Rows:
        clock.now += PATIENCE + 1
        return []

    session = FakeSession(answers={"a": slowly})
    server = ServerMetrics(lambda: session, [_collector("a"), _collector("b")], clock=clock)
    _text(server)
    assert session.asked == ["a"]
    _text(server)
    assert session.asked == ["a", "b"], "what has waited longest is next"


def test_a_server_that_hangs_is_down_to_scrapes_that_come_meanwhile() -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def hangs() -> Rows:
        hanging.set()
        assert go_on.wait(5)
        return []

    session = FakeSession(answers={"a": hangs})
    server = ServerMetrics(lambda: session, [_collector("a")], patience=0.01)
    first = threading.Thread(target=server)
    first.start()
    assert hanging.wait(5)
    assert "pg_up 0.0" in _text(server)
    go_on.set()
    first.join(5)
    assert "pg_up 1.0" in _text(server)


def test_rows_beyond_the_cap_are_dropped_and_counted() -> None:
    rows = [{"state": str(n), "sessions": n} for n in range(5)]
    found = gathered(_collector("a", max_series=3), rows)
    assert (found.series, found.dropped) == (3, 2)
    assert [sample.value for sample in found.families[0].samples] == [0, 1, 2]


def test_a_value_that_is_not_known_gives_no_series() -> None:
    found = gathered(
        _collector("a"), [{"state": None, "sessions": 1}, {"state": "", "sessions": None}]
    )
    assert [(s.labels, s.value) for f in found.families for s in f.samples] == [({}, 1)]


def test_two_rows_of_the_same_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="two rows for"):
        gathered(_collector("a"), [{"state": "idle", "sessions": 1}] * 2)


def test_no_scrape_has_more_series_than_there_may_be() -> None:
    session = FakeSession(
        answers={"a": lambda: [{"state": str(n), "sessions": n} for n in range(50)]}
    )
    text = _text(ServerMetrics(lambda: session, [_collector("a")]), max_series=20)
    assert "pg_a_sessions{" not in text
    assert "harness_exporter_dropped_series 50.0" in text
    assert "pg_up 1.0" in text
