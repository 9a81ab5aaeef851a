"""What a plan tells of the shards that a query asks, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from harness.load_result import LoadResult, Plan, QueryResult
from loadtests import routing
from loadtests.budget import parse
from loadtests.query import Query

_JOB = {"Node Type": "Custom Scan", "Distributed Query": {"Job": {"Task Count": 4}}}


@pytest.mark.parametrize(
    ("plan", "count"),
    [
        (_JOB, 4),
        ({"Node Type": "Limit", "Plans": [{"Distributed Query": {"Job": {"Task Count": 1}}}]}, 1),
        (
            {"Distributed Query": {"Job": {"Task Count": 1}, "Subplans": [{"Plan": _JOB}]}},
            4,
        ),
        ({"Node Type": "Function Scan"}, 0),
    ],
)
def test_the_step_that_asks_most_counts(plan: dict[str, Any], count: int) -> None:
    assert routing.tasks(plan) == count


def _query(name: str, fan_out: str = "") -> Query:
    return Query(name, "t", "SELECT 1", parse("p95 50ms"), "read", fan_out=fan_out)


def _load(*names: str) -> LoadResult:
    results = (QueryResult(name, "t", "read", 50, 0.95, 9, 0, 0, 0, None, 1.0) for name in names)
    return LoadResult(1, 1, 0, 1, tuple(results))


def _plan(tasks: int) -> Plan:
    return Plan("d", (), 1, 1.0, tasks=tasks)


def test_a_query_that_asks_several_shards_misses_unless_it_says_why() -> None:
    queries = {
        q.name: q for q in (_query("a"), _query("b", "a report of all tenants"), _query("c"))
    }
    found = {"a": _plan(4), "b": _plan(4), "c": _plan(1)}
    judged = routing.judged(_load("a", "b", "c"), queries, found, {})
    assert [q.verdict for q in judged.queries] == ["miss", "pass", "pass"]
    assert "asks 4 shards" in judged.queries[0].reason
    assert judged.notes[1] == "b asks 4 shards: a report of all tenants"


def test_statements_of_functions_count_where_the_plan_does_not_tell() -> None:
    queries = {name: _query(name) for name in "abcd"}
    found = {"a": _plan(0), "c": _plan(1), "d": _plan(0)}
    asked = {"a": routing.Asked(3), "b": routing.Asked(2, 1), "c": routing.Asked(1)}
    judged = routing.judged(_load(*"abcd"), queries, found, asked)
    assert [q.verdict for q in judged.queries] == ["pass", "miss", "pass", "pass"]
    assert "in 1 of the 3 statements of its functions" in judged.queries[1].reason
    assert judged.notes[0] == (
        "2 queries ask one shard in each statement, 1 several; of 1 neither plan nor counters tell"
    )


def test_one_server_asks_no_shard() -> None:
    load = _load("a")
    assert routing.judged(load, {"a": _query("a")}, {"a": _plan(0)}, {}) == load


def test_what_others_ask_meanwhile_is_not_counted() -> None:
    counted = iter([routing.Asked(3, 1), routing.Asked(2, 0), routing.Asked(9, 9)])
    assert routing.least_asked(lambda: next(counted)) == routing.Asked(2, 0)
    assert routing.least_asked(lambda: routing.Asked(2, 1)) == routing.Asked(2, 1)


def test_a_step_that_inserts_what_it_selects_is_seen_wherever_it_stands() -> None:
    step = {"Node Type": "Custom Scan", "Custom Plan Provider": "Citus INSERT ... SELECT"}
    assert routing.inserts_selected({"Plan": {"Distributed Query": {"Subplans": [step]}}})
    assert not routing.inserts_selected({"Plan": _JOB})
