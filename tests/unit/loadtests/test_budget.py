"""Budgets as they are written, and whose they are."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from loadtests.budget import Budget, configured, overlay, parse

NAMES = ("hs.board", "hs.move", "auto.board")


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        ("p95 50ms", [("p95", 50)]),
        ("p95 < 300ms, errors < 0.1%", [("p95", 300), ("errors", 0.001)]),
        ("p99.9<=1.5s", [("p99.9", 1500)]),
    ],
)
def test_budgets_are_read(text: str, budgets: list[tuple[str, float]]) -> None:
    assert parse(text) == tuple(Budget(*budget) for budget in budgets)


@pytest.mark.parametrize("text", ["", "50ms", "p5 50ms", "p95 1%", "errors < 2ms", "p95 > 3ms"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a budget is like"):
        parse(text)


def test_a_metric_is_stated_once() -> None:
    with pytest.raises(ValueError, match="p95 is stated twice"):
        parse("p95 50ms, p95 60ms")


def test_the_narrower_counts_metric_by_metric() -> None:
    stated = {
        "all": ["p99 < 500ms", "errors < 0.1%"],
        "hs": "p99 < 400ms",
        "hs.board": "p95 < 30ms",
    }
    found = configured(stated, NAMES)
    assert {b.metric: b.limit for b in found["hs.board"]} == {
        "p99": 400,
        "errors": 0.001,
        "p95": 30,
    }
    assert {b.metric: b.limit for b in found["auto.board"]} == {"p99": 500, "errors": 0.001}


def test_a_query_may_stand_in_the_table_of_its_schema() -> None:
    found = configured({"hs": {"board": "p95 < 30ms"}}, NAMES)
    assert found["hs.board"] == (Budget("p95", 30),)
    assert found["hs.move"] == ()


def test_settings_stand_over_the_header() -> None:
    assert overlay(parse("p95 50ms, p99 90ms"), parse("p95 70ms")) == parse("p95 70ms, p99 90ms")


def test_a_name_that_nothing_has_is_refused() -> None:
    with pytest.raises(UsageError, match=r"load\.budgets\.hs\.bord: .* did you mean hs\.board"):
        configured({"hs.bord": "p95 50ms"}, NAMES)


@pytest.mark.parametrize("value", ["fast", 50, ["p95 < 50ms", 3]])
def test_a_budget_that_cannot_be_read_names_its_setting(value: object) -> None:
    with pytest.raises(UsageError, match=r"setting load\.budgets\.all: "):
        configured({"all": value}, NAMES)
