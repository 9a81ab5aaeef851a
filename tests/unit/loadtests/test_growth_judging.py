"""From calls in databases of three sizes to a table, a law and a finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.catalog.model import Name
from harness.errors import UsageError
from harness.finding import Severity
from loadtests.budget import Budget
from loadtests.growth import judging
from loadtests.growth.judging import Size, size
from loadtests.growth.measuring import PLANNINGS, Calls, Cost, Database
from loadtests.query import Query

ORDER, KIND = Name("shop", "order"), Name("shop", "kind")
QUERY = Query("shop.find", "Finds.", "SELECT 1", (Budget("p95", 50.0),), "read")
SCAN: dict[str, Any] = {
    "Node Type": "Aggregate",
    "Plans": [
        {
            "Node Type": "Index Scan",
            "Relation Name": "order",
            "Filter": "((color = 'red'::text) AND (size > 3))",
            "Rows Removed by Filter": 90,
            "Actual Rows": 10,
        }
    ],
}


def _database(
    scale: int, planned: float, by_indexes: float, reads: float, answered: int = 1
) -> Database:
    costs = [
        Cost(tenant, planning, round(blocks), 0.1, answered)
        for tenant in ("a", "b")
        for planning, blocks in zip(PLANNINGS, (planned, by_indexes), strict=True)
        for _ in range(4)
    ]
    rows = {ORDER: {"a": 1000 * scale, "b": 500 * scale}, KIND: {"a": 900_000, "b": 5}}
    calls = Calls(tuple(costs), {ORDER: reads, KIND: 5.0}, SCAN)
    return Database(str(scale), {QUERY.name: calls}, rows, ("a", "b"))


def _databases(planned: float, by_indexes: float) -> list[Database]:
    """Costs and rows read that are so much per size."""
    return [_database(s, planned * s, by_indexes * s, 100.0 * s) for s in (1, 2, 4)]


def test_a_query_is_held_against_the_table_that_it_reads_more_of() -> None:
    grown = judging.judge(QUERY, _databases(40, 40), Size(factor=10))
    assert grown.table == "shop.order"
    assert grown.rows_at_target == 60_000
    assert grown.buffers
    assert grown.buffers.shape == "linear"
    assert grown.buffers.at_target == pytest.approx(1600, rel=0.1)


def test_a_small_table_that_is_read_whole_does_not_count_where_an_index_serves() -> None:
    databases = [_database(s, 4 * s, 9, 100.0) for s in (1, 2, 4)]
    grown = judging.judge(QUERY, databases, Size(factor=10))
    assert grown.planning == "by indexes"
    assert grown.buffers
    assert grown.buffers.shape == "constant"


def test_linear_growth_is_a_warning_with_the_index_that_mends_it() -> None:
    grown = judging.judge(QUERY, _databases(40, 40), Size(factor=10))
    found = judging.finding(QUERY, grown, SCAN, "business_id")
    assert found
    assert (found.rule, found.severity, found.object) == ("GRW001", Severity.WARNING, "shop.find")
    assert found.fix == "CREATE INDEX ON shop.order (business_id, color)"
    assert "40 blocks at 1,000 rows of a tenant, 160 at 4,000" in found.why


def test_quadratic_growth_is_an_error() -> None:
    databases = [_database(s, 40 * s * s, 40 * s * s, 100.0 * s) for s in (1, 2, 4)]
    found = judging.finding(
        QUERY, judging.judge(QUERY, databases, Size(factor=10)), None, "business_id"
    )
    assert found
    assert found.severity is Severity.ERROR
    assert "-- growth: linear" in found.fix


@pytest.mark.parametrize(
    ("statement", "answered", "is_told"),
    [
        ("SELECT 1 LIMIT 20", (4, 8, 16), False),  # it reads no more than it answers with
        ("WITH a AS (SELECT 1 LIMIT 20) SELECT 1 FROM a", (4, 8, 16), False),
        ("SELECT 1 LIMIT 20", (5, 10, 20), True),
        ("SELECT 1 LIMIT 20", (16, 16, 16), True),
        ("SELECT 1", (4, 8, 16), True),
        ("SELECT 1 LIMIT 20", (4, 5, 6), True),  # more and more is read for each row
    ],
)
def test_a_growing_answer_is_no_growth_before_its_limit(
    statement: str, answered: tuple[int, ...], is_told: bool
) -> None:
    query = replace(QUERY, statement=statement)
    databases = [
        _database(scale, 40 * scale, 40 * scale, 100.0 * scale, rows)
        for scale, rows in zip((1, 2, 4), answered, strict=True)
    ]
    grown = judging.judge(query, databases, Size(factor=10))
    assert (grown.note == "") is is_told
    assert is_told or "16 of at most 20 rows" in grown.note


def test_what_rises_by_less_than_the_root_of_rows_may_be_levels_of_indexes() -> None:
    databases = [_database(s, 20 + 4 * s, 20 + 4 * s, 100.0 * s) for s in (1, 2, 6)]
    grown = judging.judge(QUERY, databases, Size(factor=10))
    assert "24 blocks rise to 44 while rows go from 1,000 to 6,000" in grown.note


def test_what_the_header_declares_is_no_finding_but_what_is_worse_is() -> None:
    declared = replace(QUERY, growth=("linear", "a report of all"))
    grown = judging.judge(declared, _databases(40, 40), Size(factor=10))
    assert grown.declared == "a report of all"
    assert judging.finding(declared, grown, None, "business_id") is None
    databases = [_database(s, 40 * s * s, 40 * s * s, 100.0 * s) for s in (1, 2, 4)]
    worse = judging.judge(declared, databases, Size(factor=10))
    assert judging.finding(declared, worse, None, "business_id")


def test_without_tables_that_grow_nothing_is_told() -> None:
    databases = [replace(d, rows={ORDER: {"a": 50, "b": 50}}) for d in _databases(40, 40)]
    assert "none of the tables" in judging.judge(QUERY, databases, Size(factor=10)).note


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100x", Size(factor=100)), ("2.5x", Size(factor=2.5)), ("2M", Size(rows=2_000_000))],
)
def test_a_target_is_a_factor_or_rows(text: str, expected: Size) -> None:
    assert size(text) == expected


def test_rows_are_a_factor_on_the_largest() -> None:
    assert size("10000").of(500) == 20


@pytest.mark.parametrize("text", ["", "x", "0x", "ten", "-1"])
def test_a_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--to"):
        size(text)
