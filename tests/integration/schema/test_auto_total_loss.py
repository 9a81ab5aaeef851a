"""Repair is tested against the value of the vehicle before a claim becomes a total loss."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_collision import claim_of, estimate, move, status_of

COMPARABLES = """{"comparables": [
    {"price": 9000, "adjustment": 500}, {"price": 10000}, {"price": 20000, "adjustment": -500}]}"""
"""Worth 10000."""


@pytest.fixture
def claim(app: Connection) -> UUID:
    """A claim that was approved."""
    return claim_of(app)


def evaluation(connection: Connection, claim: UUID, total: int, **given: Any) -> UUID:
    """An evaluation of a version that totals so much, to be done."""
    version = estimate(connection, claim, total, status="submitted")
    return row(connection, "auto.total_loss_evaluation", insurance_claim_id=claim,
               damage_estimate_id=version, **{"comparables": COMPARABLES, **given})  # fmt: skip


def evaluate(connection: Connection, claim: UUID) -> Any:
    """Worth, ratio, verdict, settlement and title."""
    return connection.execute(
        "SELECT actual_cash_value, loss_ratio_pct, is_total, settlement_amount, title_brand"
        " FROM auto.evaluate_total_loss(%s)",
        [claim],
    ).fetchone()


@pytest.mark.parametrize(
    ("total", "given", "verdict"),
    [
        (7499, {}, (10000, "74.9900", False, 0, "none")),
        (7500, {}, (10000, "75.0000", True, 9900, "salvage")),
        (7500, {"threshold_pct": 80}, (10000, "75.0000", False, 0, "none")),
        (
            7999,
            {"threshold_method": "formula", "salvage_value": 2000},
            (10000, "79.9900", False, 0, "none"),
        ),
        (
            8000,
            {"threshold_method": "formula", "salvage_value": 2000},
            (10000, "80.0000", True, 9900, "salvage"),
        ),
        (
            8000,
            {"owner_retained": False, "salvage_value": 2000, "condition_adjustment_amount": 1000},
            (11000, "72.7273", False, 0, "none"),
        ),
    ],
)
def test_repair_is_tested_against_value(
    app: Connection, total: int, given: dict[str, Any], verdict: tuple[Any, ...]
) -> None:
    claim = claim_of(app, "estimate_submitted", deductible_amount=100)
    evaluation(app, claim, total, **given)
    found = evaluate(app, claim)
    assert (found[0], str(found[1]), *found[2:]) == verdict


def test_the_insurer_sets_its_threshold(app: Connection) -> None:
    insurer = row(app, "auto.insurer", total_loss_threshold_pct=60)
    claim = claim_of(app, "estimate_submitted", insurer_id=insurer, loss_kind="flood")
    evaluation(app, claim, 6000)
    assert evaluate(app, claim)[2:] == (True, 10000, "flood")


def test_the_adjuster_decides_at_discretion(app: Connection) -> None:
    claim = claim_of(app, "estimate_submitted")
    evaluation(app, claim, 100, threshold_method="insurer_discretion", is_total=True,
               actual_cash_value=1, salvage_value=2000)  # fmt: skip
    app.execute("UPDATE auto.total_loss_evaluation SET owner_retained = true,"
                " actual_cash_value = 10000")  # fmt: skip
    assert evaluate(app, claim)[2:] == (True, 8000, "salvage")


def test_a_total_loss_is_evaluated_before_the_claim_is_one(app: Connection) -> None:
    claim = claim_of(app, "estimate_submitted")
    evaluation(app, claim, 7500)
    with pytest.raises(errors.CheckViolation, match="no evaluation says"), app.transaction():
        move(app, "total_loss")
    evaluate(app, claim)
    move(app, "total_loss")
    assert status_of(app) == "total_loss"


@pytest.mark.parametrize(
    ("comparables", "message"),
    [(None, "lacks comparable sales"), ('{"comparables": []}', "lacks comparable sales")],
)
def test_without_sales_there_is_no_value(
    app: Connection, comparables: str | None, message: str
) -> None:
    claim = claim_of(app, "estimate_submitted")
    evaluation(app, claim, 7500, comparables=comparables)
    with pytest.raises(errors.CheckViolation, match=message):
        evaluate(app, claim)


def test_without_an_estimate_that_stands_there_is_no_test(app: Connection) -> None:
    claim = claim_of(app, "estimate_submitted")
    evaluation(app, claim, 7500)
    app.execute("UPDATE auto.damage_estimate SET status = 'superseded'")
    with pytest.raises(errors.CheckViolation, match="lacks an estimate that stands"):
        evaluate(app, claim)


def test_there_must_be_an_evaluation(app: Connection, tenant: UUID, claim: UUID) -> None:
    for subject, message in ((tenant, "no insurance claim"), (claim, "no evaluation")):
        with pytest.raises(errors.NoDataFound, match=message), app.transaction():
            evaluate(app, subject)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"actual_cash_value": 0}, "cash_value_positive"),
        ({"evaluated_at": "2026-05-05"}, "evaluated_has_value"),
        ({"is_total": True}, "total_has_value"),
        ({"title_brand": "salvage"}, "repaired_has_clean_title"),
        (
            {"is_total": True, "owner_retained": True, "actual_cash_value": 100,
             "salvage_value": 30, "settlement_amount": 71},
            "owner_keeps_salvage",
        ),
        (
            {"threshold_method": "formula", "evaluated_at": "2026-05-05", "actual_cash_value": 100,
             "repair_total": 60, "salvage_value": 40},
            "formula_decides",
        ),
        (
            {"threshold_pct": 75, "evaluated_at": "2026-05-05", "actual_cash_value": 100,
             "repair_total": 75},
            "share_decides",
        ),
    ],
)  # fmt: skip
def test_an_evaluation_says_what_follows(
    app: Connection, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.total_loss_evaluation", **given)
