"""A miss explains itself; what held and what only lacks samples does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from harness.load_result import LoadResult, Plan, QueryResult
from loadtests.budget import parse
from loadtests.explaining import explained
from loadtests.judging import result
from loadtests.plans import Captured
from loadtests.query import Query
from loadtests.recorder import Record, at_rest
from loadtests.waits import Waits

QUERY = Query(
    "hs.board", "The board.", "SELECT %(business_id)s", parse("p95 300ms, errors 0%"), "read"
)
PLAN = Plan("abc", ("Seq Scan on visit",), 900, 5.0, temp_blocks=4, remarks=("a remark",))


def _result(
    milliseconds: int, samples: int = 100, tenants: tuple[str, ...] = ("medium",)
) -> QueryResult:
    record = Record()
    for name in tenants:
        for _ in range(samples):
            record.answered(name, milliseconds * 1000, 1, 0)
    return result(QUERY, [at_rest(QUERY.name, record)])


def _why(found: QueryResult, waits: Waits | None = None, query: Query = QUERY) -> tuple[str, ...]:
    load = LoadResult(8, 40, 3, 100, (found,))
    told = explained(
        load,
        {QUERY.name: query},
        Captured({QUERY.name: PLAN}),
        {QUERY.name: waits} if waits else {},
        "harness load --users 8",
        "business_id",
    )
    assert told.queries[0].plan == PLAN, "the plan is kept whatever the verdict"
    return told.queries[0].explanation


def test_what_holds_needs_no_explanation() -> None:
    assert _why(_result(1)) == ()


def test_too_few_samples_need_none_either() -> None:
    assert _why(_result(1, samples=9)) == ()


def test_a_miss_tells_its_plan_and_how_to_see_it_again() -> None:
    assert _why(_result(400)) == (
        "a remark",
        "writes 32 kB of temporary files: more than work_mem",
        "alone it takes 5.0 ms and touches 900 blocks; its plan:",
        "  Seq Scan on visit",
        "again: harness load --users 8 --only hs.board",
    )


def test_it_tells_what_it_waited_for_and_who_held_the_lock() -> None:
    waits = Waits(Counter({"Lock transactionid": 30, "running": 5}), Counter({"`hs.move`": 28}))
    assert _why(_result(400), waits)[:2] == (
        "seen 35 times: 30 Lock transactionid, 5 running",
        "waited 28 times for a lock of `hs.move`",
    )


def test_a_sleep_is_named_where_it_is_most_of_the_time() -> None:
    slept = Waits(Counter({"Timeout PgSleep": 30, "running": 5}))
    assert any("pg_sleep" in line for line in _why(_result(400), slept))
    hardly = Waits(Counter({"Timeout PgSleep": 3, "running": 30}))
    assert not any("pg_sleep" in line for line in _why(_result(400), hardly))


def test_a_query_without_the_tenant_says_so() -> None:
    unfiltered = replace(QUERY, statement="SELECT 1")
    assert any(
        "it does not filter on business_id" in x for x in _why(_result(400), None, unfiltered)
    )


def test_classes_of_tenants_are_told_apart() -> None:
    lines = _why(_result(400, tenants=("hot", "small")))
    assert any(line.startswith("by class of tenant, in ms: hot p50 4") for line in lines)


def test_a_run_without_a_plan_says_why_whatever_the_verdict() -> None:
    refused = Captured(refused={QUERY.name: "it is sold out"})
    load = LoadResult(8, 40, 3, 100, (_result(1),), notes=("a note",))
    told = explained(load, {QUERY.name: QUERY}, refused, {}, "harness load", "business_id")
    assert told.queries[0].plan is None
    assert told.notes == ("a note", "hs.board has no plan: it is sold out")
