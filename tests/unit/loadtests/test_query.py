"""Headers of critical queries: read in full, or refused with file and line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalog.model import Name
from harness.errors import UsageError
from loadtests.budget import NO_ERRORS, Budget
from loadtests.query import BUNDLED, Query, Samples, read, read_all

GOOD = """\
-- The board: open work by promise time,
-- and only what is open.
-- budget: p95 50ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: who=customer_id, shop_id from hs.visit where status = 'open' AND note LIKE 'a%'
-- own: shop_id
-- values: key = uuid()
SELECT v.id, '100%%' FROM hs.visit AS v
WHERE v.business_id = %(business_id)s AND v.customer_id = %(who)s AND v.shop_id = %(shop_id)s
  AND v.business_id = %(business_id)s AND v.key <> %(key)s;
"""


def _read(tmp_path: Path, text: str) -> Query:
    path = tmp_path / "hs" / "board.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return read(path, tmp_path)


def test_a_header_is_read_in_full(tmp_path: Path) -> None:
    query = _read(tmp_path, GOOD)
    assert query.name == "hs.board"
    assert query.title == "The board: open work by promise time, and only what is open."
    assert query.budgets == (NO_ERRORS, Budget("p95", 50))
    assert query.latency_budget.quantile == 0.95
    assert query.weight == 10
    assert (query.mode, query.minimum_rows) == ("read", 1)
    condition = "status = 'open' AND note LIKE 'a%'"
    columns = (("who", "customer_id"), ("shop_id", "shop_id"))
    assert query.samples == (Samples(Name("hs", "visit"), columns, condition, owned=True),)
    assert query.values == (("key", "uuid()"),)


def test_placeholders_are_numbered_in_order_of_appearance(tmp_path: Path) -> None:
    query = _read(tmp_path, GOOD)
    assert query.parameters == ("business_id", "who", "shop_id", "key")
    assert query.numbered.count("$1") == 2
    assert "'100%'" in query.numbered
    assert "%(" not in query.numbered


def test_a_query_is_sent_behind_its_name(tmp_path: Path) -> None:
    query = _read(tmp_path, GOOD)
    assert query.named == f"/* {query.name} */ {query.numbered}"
    odd = replace(query, name="find */ DROP")
    assert odd.named == odd.numbered


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("-- weight: 10", "-- wieght: 10", 4, "unknown key 'wieght'"),
        ("-- weight: 10", "-- weight: many", 4, "weight is a number"),
        ("p95 50ms", "50ms", 3, "a budget is like `p95 < 50ms`"),
        ("p95 50ms", "errors 1%", 3, "a budget on a latency is missing"),
        ("own: shop_id", "own: shop", 8, "own names no parameter: shop"),
        ("-- budget: p95 50ms\n", "", 1, "one `budget:`, it has 0"),
        ("mode: read", "mode: scan", 5, "mode is read or write"),
        ("rows: >=1", "rows: some", 6, "rows is like"),
        ("from hs.visit where", "of hs.visit where", 7, "params is like"),
        ("key = uuid()", "uuid()", 9, "values is like"),
        ("-- values: key = uuid()\n", "", 9, "nothing supplies key"),
    ],
)
def test_a_bad_header_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=rf"board\.sql:{line}: .*{message}"):
        _read(tmp_path, GOOD.replace(old, new))


def test_a_header_without_a_statement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no statement"):
        _read(tmp_path, "-- Title\n-- budget: p95 50ms\n-- mode: read\n")


def test_a_directory_without_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no critical query"):
        read_all(tmp_path)


def test_every_bundled_query_keeps_to_the_promise_of_the_project() -> None:
    queries = read_all(BUNDLED)
    assert len(queries) >= 23
    for query in queries:
        assert query.latency_budget.limit <= 300, query.name
        assert "%(business_id)s" in query.statement, query.name


def test_a_declared_growth_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "report.sql"
    header = "-- All.\n-- budget: p95 50ms\n-- mode: read\n-- growth: {}\n"
    path.write_text(header.format("linear, a report of all") + "SELECT 1")
    assert read(path, tmp_path).growth == ("linear", "a report of all")
    path.write_text(header.format("linear") + "SELECT 1")
    with pytest.raises(UsageError, match=r"report\.sql:4: growth is one of constant"):
        read(path, tmp_path)
