"""A load's verdicts, intervals and counts in every rendering."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.load_result import BudgetResult, BusyTenant, ClassLatency, Latency, LoadResult
from harness.report import html, junit_run, prometheus, terminal
from harness.run import Run, from_json, to_json
from tests.unit.conftest import query_result

OPEN = BudgetResult(
    "p95", 40, "inconclusive", "40 samples, a verdict needs about 86", 30.0, 20.0, None, 86
)


@pytest.fixture
def loaded(held_run: Run) -> Run:
    """A query that passed and one whose verdict is open."""
    small = ClassLatency("small", 9, Latency(1, 2, 3, 4, 5))
    open_one = query_result(
        "rest.open",
        verdict="inconclusive",
        reason="p95 30.0 ms [20.0, ?] of 40 ms; 40 samples, a verdict needs about 86",
        budgets=(OPEN,),
        timeouts=2,
        retries=3,
        classes=(small, replace(small, tenants="giant", latency=Latency(7, 8, 9, 9, 8))),
    )
    busy = (BusyTenant("0190-a", "hot", 30, 0.75), BusyTenant("0190-b", "small", 10, 0.25))
    load = LoadResult(8, 40, 3, 100, (query_result(), open_one), searched=1234, busiest=busy)
    return replace(held_run, load=load)


def test_an_open_verdict_is_not_held(loaded: Run) -> None:
    assert not loaded.held
    assert [query.name for query in loaded.missed] == ["rest.open"]
    assert from_json(to_json(loaded)) == loaded


def test_the_terminal_tells_verdicts_apart(loaded: Run) -> None:
    out = StringIO()
    assert loaded.load
    terminal.print_load(loaded.load, Console(file=out, width=120))
    text = out.getvalue()
    assert "? rest.open: INCONCLUSIVE: p95 30.0 ms [20.0, ?] of 40 ms" in text
    assert "1 PASS, 0 MISS, 1 INCONCLUSIVE, 2 timeouts, 3 retries; 1,234 answers searched" in text
    assert "giant p50 7.0, p95 8.0; small p50 1.0, p95 2.0" in text
    assert "busiest tenants: 0190-a (hot) 75%, 0190-b (small) 25% of what was sampled" in text


def test_junit_has_an_error_for_what_is_open_and_no_failure(loaded: Run) -> None:
    tree = ElementTree.fromstring(junit_run.render(loaded))  # noqa: S314 - our own
    (case,) = (case for case in tree.iter("testcase") if case.get("name") == "rest.open")
    (error,) = case.findall("error")
    assert error.get("type") == "inconclusive"
    assert "a verdict needs about 86" in (error.get("message") or "")
    assert not case.findall("failure")


def test_prometheus_has_verdicts_bounds_and_counts(loaded: Run) -> None:
    lines = prometheus.textfile(loaded).splitlines()
    assert 'harness_query_verdict{query="rest.open",verdict="inconclusive"} 1.0' in lines
    low = 'harness_query_latency_bound_seconds{end="low",objective="0.95",query="rest.open"} 0.02'
    assert low in lines
    assert 'harness_query_timeouts{query="rest.open"} 2.0' in lines
    assert 'harness_query_retries{query="rest.open"} 3.0' in lines


def test_the_page_shows_the_interval(loaded: Run) -> None:
    page = html.render(loaded)
    assert "? INCONCLUSIVE" in page
    assert "p95 30.0 of 40 ms" in page
    assert "[20.0, ?]" in page
