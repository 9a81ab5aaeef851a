"""Verdicts: a budget is held, missed, or cannot be judged, and a leak or error always fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.load_result import Leak, LoadResult
from loadtests.budget import Budget, parse
from loadtests.judging import doubted, excused, gate, merge, result, rowless
from loadtests.query import Query
from loadtests.recorder import QueryRecord, Record, at_rest

QUERY = Query(
    "hs.board", "The board.", "SELECT 1", parse("p95 300ms, errors 0%"), "read", minimum_rows=1
)
LEAK = Leak(3, "business_id b", "a", "b", 4711, 9)


def _filled(latencies_us: list[int], rows: int = 1, tenants: str = "medium") -> Record:
    record = Record()
    for microseconds in latencies_us:
        record.answered(tenants, microseconds, rows, QUERY.minimum_rows)
    return record


def _record(latencies_us: list[int], rows: int = 1, tenants: str = "medium") -> QueryRecord:
    return at_rest(QUERY.name, _filled(latencies_us, rows, tenants))


def test_a_p95_just_beyond_its_budget_is_a_miss() -> None:
    """Locust's table would round 304.9 ms to 300 and pass."""
    found = result(QUERY, [_record([304_900] * 100)])
    assert found.verdict == "miss"
    expected = "p95 305.2 ms [305.2, 305.2], the budget is 300 ms"
    assert found.reason.startswith(expected), "to three digits, rounded up"
    assert found.within_budget == 0


def test_slow_answers_that_a_p95_allows_for_sure_are_a_pass() -> None:
    found = result(QUERY, [_record([1_000] * 970 + [900_000] * 30)])
    assert found.verdict == "pass"
    assert found.within_budget == 0.97
    assert found.latency
    assert found.latency.max == pytest.approx(900, rel=0.002)


def test_more_than_it_allows_for_sure_are_a_miss() -> None:
    assert result(QUERY, [_record([1_000] * 930 + [900_000] * 70)]).verdict == "miss"


@pytest.mark.parametrize("slow", [45, 55])
def test_what_samples_do_not_decide_is_inconclusive_and_says_how_many_would(slow: int) -> None:
    found = result(QUERY, [_record([1_000] * (1000 - slow) + [900_000] * slow)])
    (budget, _) = found.budgets
    assert found.verdict == budget.verdict == "inconclusive"
    assert budget.needed > 1000
    assert f"1000 samples, a verdict needs about {budget.needed}" in found.reason


def test_too_few_samples_decide_nothing() -> None:
    found = result(QUERY, [_record([1_000] * 71)])
    assert found.verdict == "inconclusive"
    assert found.reason == "p95 1.0 ms [1.0, ?] of 300 ms; 71 samples, a verdict needs about 72"


def test_no_samples_decide_nothing() -> None:
    found = result(QUERY, [])
    assert (found.verdict, found.latency, found.samples) == ("inconclusive", None, 0)
    assert found.reason == "no samples"


def test_every_budget_counts() -> None:
    query = replace(QUERY, budgets=parse("p50 10ms, p95 300ms"))
    found = result(query, [_record([50_000] * 500)])
    assert [(b.metric, b.verdict) for b in found.budgets] == [("p50", "miss"), ("p95", "pass")]
    assert (found.verdict, found.budget_ms, found.quantile) == ("miss", 10, 0.5)


def test_the_delay_of_the_driver_is_not_blamed_on_the_server() -> None:
    slow = [_record([310_000] * 500)]
    assert result(QUERY, slow).verdict == "miss"
    found = result(QUERY, slow, delay_ms=20)
    assert found.verdict == "inconclusive"
    assert "the driver was saturated" in found.reason
    assert result(QUERY, slow, delay_ms=5).verdict == "miss", "the rest is the server's"


def test_a_row_of_another_tenant_fails_however_fast() -> None:
    leaking = _filled([1_000])
    leaking.leaked(LEAK)
    found = result(QUERY, [_record([1_000] * 99), at_rest(QUERY.name, leaking)])
    assert found.verdict == "miss"
    assert found.reason == (
        "leak: an answer held 3 rows of another tenant (business_id b): transaction 9 of "
        "connection 4711, working for a after b"
    )
    assert (found.foreign_rows, found.leaks) == (3, (LEAK,))


def test_the_first_leaks_are_kept_and_all_are_counted() -> None:
    record = Record()
    for _ in range(50):
        record.leaked(LEAK)
    found = result(QUERY, [at_rest(QUERY.name, record)])
    assert found.foreign_rows == 150
    assert len(found.leaks) == 3


def test_an_error_fails() -> None:
    record = _filled([1_000] * 100)
    record.failed("relation does not exist")
    found = result(QUERY, [at_rest(QUERY.name, record)])
    assert (found.verdict, found.errors) == ("miss", 1)
    assert found.reason == "1 error, the first: relation does not exist"


def test_timeouts_are_counted_apart_and_are_long_answers() -> None:
    record = _filled([1_000] * 99)
    record.timed_out("medium", 30_000_000, "canceling statement due to statement timeout")
    found = result(QUERY, [at_rest(QUERY.name, record)])
    assert (found.errors, found.timeouts, found.samples, found.verdict) == (0, 1, 100, "miss")
    assert found.latency
    assert found.latency.max == pytest.approx(30_000, rel=0.002)


def test_a_share_of_errors_can_be_allowed() -> None:
    record = _filled([1_000] * 999)
    record.failed("bad luck")
    query = replace(QUERY, budgets=(*parse("p95 300ms"), Budget("errors", 0.001)))
    assert result(query, [at_rest(QUERY.name, record)]).verdict == "pass"
    record.failed("more of it")
    found = result(query, [at_rest(QUERY.name, record)])
    assert found.verdict == "miss"
    assert found.reason == "2 errors (the budget is 0.100%), the first: bad luck"


def test_queries_that_may_be_empty_and_mostly_were_are_told_and_do_not_miss() -> None:
    may_be_empty = replace(QUERY, minimum_rows=0)
    names = {"never": [0] * 100, "once": [0] * 99 + [1], "at_times": [0, 1] * 50}
    queries = [replace(may_be_empty, name=name) for name in names]
    results = []
    for query in queries:
        record = Record()
        for rows in names[query.name]:
            record.answered("medium", 1_000, rows, query.minimum_rows)
        results.append(result(query, [at_rest(query.name, record)]))
    assert [each.empty for each in results] == [100, 99, 50]
    assert {each.verdict for each in results} == {"pass"}
    assert list(rowless(queries, results)) == [
        "what was measured found nothing, as their headers allow: "
        "never (empty in 100 of 100 calls), once (empty in 99 of 100 calls)"
    ]
    assert list(rowless(queries[2:], results)) == []


def test_a_query_that_promises_rows_and_has_none_is_a_miss_and_not_told_besides() -> None:
    found = result(QUERY, [_record([1_000] * 100, rows=0)])
    assert found.verdict == "miss"
    assert list(rowless([QUERY], [found])) == []


def test_retries_are_no_errors() -> None:
    record = _filled([1_000] * 100)
    record.retries = 7
    found = result(QUERY, [at_rest(QUERY.name, record)])
    assert (found.verdict, found.retries, found.errors) == ("pass", 7, 0)


def test_empty_answers_fail_where_rows_are_promised() -> None:
    found = result(QUERY, [_record([1_000] * 90), _record([1_000] * 10, rows=0)])
    assert found.verdict == "miss"
    assert "10 of 100 answers were empty" in found.reason


def test_histograms_of_several_drivers_add_up() -> None:
    parts = [_record([1_000] * 30), _record([2_000] * 70)]
    merged = merge(part.response["medium"] for part in parts)
    assert merged.total_count == 100
    assert merged.get_value_at_percentile(30) == pytest.approx(1_000, rel=0.002)
    assert merged.get_value_at_percentile(31) == pytest.approx(2_000, rel=0.002)


def test_latencies_are_told_by_class_of_tenant_where_there_are_several() -> None:
    assert result(QUERY, [_record([1_000])]).classes == ()
    small, giant = _record([1_000] * 3, tenants="small"), _record([9_000], tenants="giant")
    found = result(QUERY, [small, giant])
    assert [(c.tenants, c.samples) for c in found.classes] == [("giant", 1), ("small", 3)]
    assert found.classes[0].latency.p50 == pytest.approx(9, rel=0.002)
    assert found.samples == 4


def test_the_gate_names_what_missed_and_what_is_open() -> None:
    good, bad, unknown = (
        result(replace(QUERY, name=name), [_record([microseconds] * samples)])
        for name, microseconds, samples in (("a", 1, 99), ("b", 400_000, 99), ("c", 1, 9))
    )
    assert gate(LoadResult(1, 1, 0, 50, (good,))) == ()
    lines = gate(LoadResult(1, 1, 0, 50, (good, bad, unknown)))
    assert [line[:3] for line in lines] == ["b: ", "c: "]


def test_arrivals_that_were_never_served_let_nothing_pass() -> None:
    held, missed = (result(QUERY, [_record([ms * 1000] * 99)]) for ms in (1, 400))
    found = doubted(held, 7)
    assert found.verdict == "inconclusive"
    assert found.reason.endswith("; 7 requests that were due got no connection")
    assert doubted(missed, 7) == missed


def test_a_query_that_nobody_could_ask_says_why() -> None:
    load = LoadResult(1, 1, 0, 50, (result(QUERY, []),))
    (line,) = gate(excused(load, {"hs.board": "no tenant has rows in hs.visit"}))
    assert line == "hs.board: no samples: no tenant has rows in hs.visit"
