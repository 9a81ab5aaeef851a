"""A run against a stored one: what is worse is named, noise and a slow machine are not."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from harness.load_result import LoadResult, Plan, QueryResult
from loadtests.baseline import compare, restricted
from loadtests.budget import parse
from loadtests.judging import gate, result
from loadtests.query import Query
from loadtests.recorder import Record, at_rest

PLAN = Plan("abc", ("Index Scan item_pkey on item",), 100, 1.0)
_CHANCE = random.Random(5)


def _query(name: str, ms: float, plan: Plan | None = PLAN, samples: int = 400) -> QueryResult:
    """Latencies around a median, as long-tailed as real ones."""
    record = Record()
    for _ in range(samples):
        record.answered("medium", int(ms * 1000 * _CHANCE.lognormvariate(0, 0.4)), 1, 0)
    query = Query(name, name, "SELECT 1", parse("p95 300ms"), "read")
    return replace(result(query, [at_rest(name, record)]), plan=plan)


def _load(*queries: QueryResult) -> LoadResult:
    return LoadResult(8, 40, 3, 100, queries)


THEN = _load(*(_query(f"q{n}", 2 + n) for n in range(20)))


def test_the_same_system_is_no_regression_whatever_the_seed() -> None:
    now = compare(_load(*(_query(f"q{n}", 2 + n) for n in range(20))), THEN, "r1")
    assert now.comparison
    assert now.comparison.regressions == ()
    assert now.comparison.compared == 20
    assert now.comparison.speed_factor == pytest.approx(1, abs=0.1)
    assert gate(now) == ()


def test_a_machine_that_is_twice_as_slow_is_no_regression() -> None:
    now = compare(_load(*(_query(f"q{n}", 2 * (2 + n)) for n in range(20))), THEN, "r1")
    assert now.comparison
    assert now.comparison.speed_factor == pytest.approx(2, rel=0.1)
    assert now.comparison.regressions == ()


def test_a_query_that_is_twice_as_slow_is_named() -> None:
    queries = [_query(f"q{n}", (2 + n) * (2 if n == 7 else 1)) for n in range(20)]
    now = compare(_load(*queries), THEN, "r1")
    assert now.comparison
    (found,) = now.comparison.regressions
    assert (found.query, found.kind) == ("q7", "latency")
    assert gate(now)[0].startswith("q7: regression: p50 is at least 1")


def test_a_few_microseconds_are_below_the_floor() -> None:
    then = _load(*(_query(f"q{n}", 0.2) for n in range(5)))
    now = _load(_query("q0", 0.6), *(_query(f"q{n}", 0.2) for n in range(1, 5)))
    compared = compare(now, then, "r1").comparison
    assert compared
    assert compared.regressions == ()


def test_buffers_tell_what_no_clock_does() -> None:
    seq = Plan("def", ("Seq Scan on item",), 900, 1.0)
    queries = [_query(f"q{n}", 2 + n, seq if n == 3 else PLAN) for n in range(20)]
    now = compare(_load(*queries), THEN, "r1")
    assert now.comparison
    (found,) = now.comparison.regressions
    assert (found.kind, found.detail) == ("buffers", "a call touches 900 blocks, it was 100")
    assert now.comparison.plan_changes == ("q3",)
    assert now.queries[3].explanation == (
        "its plan has changed; in the baseline it was:",
        "  Index Scan item_pkey on item",
    )


@pytest.mark.parametrize("differs", [{"parameters": "another row"}, {"rows": 37}])
def test_buffers_of_another_question_do_not_compare(differs: dict[str, Any]) -> None:
    other = replace(PLAN, buffers=900, **differs)
    compared = compare(
        _load(*(replace(q, plan=other) for q in THEN.queries)), THEN, "r1"
    ).comparison
    assert compared
    assert compared.regressions == ()


def test_another_plan_that_costs_nothing_is_only_told() -> None:
    other = replace(PLAN, digest="def")
    now = compare(_load(*(_query(f"q{n}", 2 + n, other) for n in range(20))), THEN, "r1")
    assert now.comparison
    assert now.comparison.regressions == ()
    assert len(now.comparison.plan_changes) == 20


def test_a_query_that_is_no_longer_driven_is_a_regression() -> None:
    compared = compare(_load(*THEN.queries[1:]), THEN, "r1").comparison
    assert compared
    assert [(r.query, r.kind) for r in compared.regressions] == [("q0", "missing")]


def test_a_part_is_held_against_its_part() -> None:
    assert [q.name for q in restricted(THEN, ("q1*",)).queries][:3] == ["q1", "q10", "q11"]
    assert restricted(THEN, ()) == THEN
