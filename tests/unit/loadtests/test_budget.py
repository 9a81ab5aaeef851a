"""Verdicts: a budget is held, missed, or cannot be judged, and a leak or error always fails."""

from __future__ import annotations

import pytest

from harness.run import LoadResult
from loadtests.budget import gate, merge, result
from loadtests.query import Query
from loadtests.recorder import QueryRecord, Record, at_rest

QUERY = Query("hs.board", "The board.", "SELECT 1", 300.0, 0.95, "read", minimum_rows=1)


def _record(latencies_us: list[int], rows: int = 1, foreign_rows: int = 0) -> QueryRecord:
    record = Record()
    for microseconds in latencies_us:
        record.answered(microseconds, rows, QUERY.minimum_rows, foreign_rows)
    return at_rest(QUERY.name, record)


def test_a_p95_just_beyond_its_budget_is_a_miss() -> None:
    """Locust's table would round 304.9 ms to 300 and pass."""
    found = result(QUERY, [_record([304_900] * 100)])
    assert found.verdict == "miss"
    assert found.reason == "p95 305.2 ms, the budget is 300 ms", "to three digits, rounded up"
    assert found.within_budget == 0


def test_five_slow_answers_in_a_hundred_are_within_a_p95() -> None:
    found = result(QUERY, [_record([1_000] * 95 + [900_000] * 5)])
    assert found.verdict == "pass"
    assert found.within_budget == 0.95
    assert found.latency
    assert found.latency.max == pytest.approx(900, rel=0.002)


def test_six_are_not() -> None:
    assert result(QUERY, [_record([1_000] * 94 + [900_000] * 6)]).verdict == "miss"


def test_too_few_samples_decide_nothing() -> None:
    found = result(QUERY, [_record([1_000] * 19)])
    assert (found.verdict, found.reason) == ("inconclusive", "19 samples; a verdict needs 20")


def test_no_samples_decide_nothing() -> None:
    found = result(QUERY, [])
    assert (found.verdict, found.latency, found.samples) == ("inconclusive", None, 0)


def test_a_row_of_another_tenant_fails_however_fast() -> None:
    found = result(QUERY, [_record([1_000] * 99), _record([1_000], foreign_rows=3)])
    assert found.verdict == "miss"
    assert "leak" in found.reason
    assert found.foreign_rows == 3


def test_an_error_fails() -> None:
    record = Record()
    record.failed("relation does not exist")
    found = result(QUERY, [_record([1_000] * 50), at_rest(QUERY.name, record)])
    assert (found.verdict, found.errors) == ("miss", 1)
    assert "relation does not exist" in found.reason


def test_empty_answers_fail_where_rows_are_promised() -> None:
    found = result(QUERY, [_record([1_000] * 90), _record([1_000] * 10, rows=0)])
    assert found.verdict == "miss"
    assert "10 of 100 answers were empty" in found.reason


def test_histograms_of_several_drivers_add_up() -> None:
    parts = [_record([1_000] * 30), _record([2_000] * 70)]
    merged = merge(parts)
    assert merged.total_count == 100
    assert merged.get_value_at_percentile(30) == pytest.approx(1_000, rel=0.002)
    assert merged.get_value_at_percentile(31) == pytest.approx(2_000, rel=0.002)


def test_the_gate_names_what_missed() -> None:
    good, bad = result(QUERY, [_record([1_000] * 50)]), result(QUERY, [_record([400_000] * 50)])
    assert gate(LoadResult(1, 1, 0, 50, (good,))) == ()
    (line,) = gate(LoadResult(1, 1, 0, 50, (good, bad)))
    assert line.startswith("hs.board: p95 400")
