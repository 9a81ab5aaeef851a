"""Suppliers have terms that hold: costs fall with quantity, tiers rise, nothing overlaps."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_inventory import moves, value

SUPPLIER = {
    "prospect": {"active", "ended"},
    "active": {"on_hold", "blocked", "ended"},
    "on_hold": {"active", "blocked", "ended"},
    "blocked": {"active", "ended"},
    "ended": set(),
}
AGREEMENT = {
    "draft": {"active", "terminated"},
    "active": {"expired", "terminated"},
    "expired": set(),
    "terminated": set(),
}
CONSIGNMENT = {"draft": {"active", "ended"}, "active": {"ended"}, "ended": set()}
TIERS = '[{"from_amount": 100, "rebate_pct": 1}, {"from_amount": 500, "rebate_pct": 2.5}]'


@pytest.fixture
def sold_as(app: Connection) -> UUID:
    """A variant as a supplier sells it."""
    return row(app, "ret.supplier_product")


def cost(connection: Connection, sold_as: UUID, **given: Any) -> UUID:
    return row(
        connection,
        "ret.supplier_cost",
        supplier_product_id=sold_as,
        **{"effective_from": "2026-01-01", **given},
    )


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("supplier", {"payment_terms_days": -1}, "payment_terms_days_not_negative"),
        ("supplier", {"default_lead_days": -1}, "lead_days_not_negative"),
        ("supplier", {"minimum_order_amount": -1}, "minimum_order_not_negative"),
        ("supplier", {"early_discount_pct": 101}, "early_discount_bounded"),
        ("supplier", {"gln": "4012345000017"}, "gln_valid"),
        ("supplier_contact", {"is_primary": True, "is_active": False}, "primary_is_active"),
        ("supplier_product", {"minimum_order_qty": 0}, "minimum_order_is_one"),
        ("supplier_product", {"order_multiple": 0}, "order_multiple_is_one"),
        ("supplier_product", {"carton_qty": 0}, "packs_positive"),
        ("supplier_product", {"lead_days": -1}, "lead_not_negative"),
        (
            "supplier_product",
            {"is_preferred": True, "status": "discontinued"},
            "preferred_is_active",
        ),
        ("supplier_cost", {"unit_cost": 0}, "unit_cost_positive"),
        ("supplier_cost", {"min_qty": 0}, "min_qty_positive"),
        ("supplier_cost", {"duty_pct": -1}, "extras_not_negative"),
        ("supplier_cost", {"effective_to": "2026-05-03"}, "ends_after_start"),
        ("supplier_agreement", {"effective_to": "2026-01-01"}, "ends_after_start"),
        ("supplier_agreement", {"accrual_pct": 101}, "accrual_bounded"),
        ("consignment_agreement", {"commission_pct": 91}, "commission_pct_bounded"),
        ("consignment_agreement", {"max_units": 0}, "max_units_positive"),
        ("consignment_agreement", {"return_after_days": 0}, "return_after_positive"),
        ("consignment_agreement", {"effective_to": "2026-05-03"}, "ends_after_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"ret.{table}", **columns)


def test_a_supplier_is_onboarded_when_it_becomes_active(app: Connection) -> None:
    row(app, "ret.supplier", status="prospect")
    app.execute("UPDATE ret.supplier SET status = 'active'")
    assert value(app, "SELECT onboarded_on = current_date FROM ret.supplier")


def test_one_primary_per_role(app: Connection) -> None:
    supplier = row(app, "ret.supplier")
    given = {"supplier_id": supplier, "is_primary": True, "is_active": True}
    row(app, "ret.supplier_contact", contact_role="orders", **given)
    row(app, "ret.supplier_contact", contact_role="accounts", **given)
    with pytest.raises(errors.UniqueViolation, match="supplier_contact_primary_idx"):
        row(app, "ret.supplier_contact", contact_role="orders", **given)


def test_one_preferred_supplier_per_variant(app: Connection) -> None:
    variant = row(app, "ret.product_variant")
    row(app, "ret.supplier_product", product_variant_id=variant, is_preferred=True)
    row(app, "ret.supplier_product", product_variant_id=variant)
    with pytest.raises(errors.UniqueViolation, match="supplier_product_preferred_idx"):
        row(app, "ret.supplier_product", product_variant_id=variant, is_preferred=True)


@pytest.mark.parametrize(("quantity", "unit_cost"), [(24, 10), (24, 10.5), (0.5, 9)])
def test_more_never_costs_more(
    app: Connection, sold_as: UUID, quantity: float, unit_cost: float
) -> None:
    cost(app, sold_as, min_qty=1, unit_cost=10)
    cost(app, sold_as, min_qty=12, unit_cost=9.5)
    with pytest.raises(errors.CheckViolation, match="more must cost less"):
        cost(app, sold_as, min_qty=quantity, unit_cost=unit_cost)


def test_breaks_of_another_time_or_kind_are_free(app: Connection, sold_as: UUID) -> None:
    cost(app, sold_as, min_qty=1, effective_to="2026-03-31")
    cost(app, sold_as, min_qty=12, unit_cost=11, effective_from="2026-04-01")
    cost(app, sold_as, min_qty=12, unit_cost=11, cost_kind="list")
    with pytest.raises(errors.CheckViolation, match="more must cost less"):
        app.execute("UPDATE ret.supplier_cost SET effective_to = '2026-04-01' WHERE min_qty = 1")


def test_one_cost_of_a_break_on_a_day(app: Connection, sold_as: UUID) -> None:
    cost(app, sold_as, effective_to="2026-03-31")
    cost(app, sold_as, effective_from="2026-04-01")
    with pytest.raises(errors.ExclusionViolation, match="supplier_cost_no_overlap"):
        cost(app, sold_as, effective_from="2026-03-31", effective_to="2026-03-31")


@pytest.mark.parametrize(
    ("quantity", "day", "expected"),
    [
        (1, "2026-05-01", (10, Decimal("11.5"), "contract")),
        (12, "2026-05-01", (9, 9, "contract")),
        (100, "2026-06-01", (8, 8, "promotional")),
        (100, "2025-12-31", None),
        (0.5, "2026-05-01", None),
    ],
)
def test_the_best_approved_cost_holds(
    app: Connection, sold_as: UUID, quantity: float, day: str, expected: Any
) -> None:
    cost(app, sold_as, min_qty=1, unit_cost=10, duty_pct=10, freight_per_unit=0.5)
    cost(app, sold_as, min_qty=12, unit_cost=9)
    cost(app, sold_as, min_qty=24, unit_cost=3, cost_kind="closeout", approved_at=None)
    cost(
        app,
        sold_as,
        min_qty=50,
        unit_cost=8,
        cost_kind="promotional",
        effective_from="2026-06-01",
        effective_to="2026-06-01",
    )
    found = app.execute(
        "SELECT unit_cost, landed_cost, cost_kind FROM ret.supplier_cost_at(%s, %s::numeric, %s)",
        [sold_as, quantity, day],
    ).fetchone()
    assert found == expected


@pytest.mark.parametrize(
    "tiers",
    [
        '[{"from_amount": 100, "rebate_pct": 1}, {"from_amount": 100, "rebate_pct": 2}]',
        '[{"from_amount": 500, "rebate_pct": 1}, {"from_amount": 100, "rebate_pct": 2}]',
        '[{"from_amount": -0.5, "rebate_pct": 1}]',
        '[{"from_amount": 1, "rebate_pct": 101}]',
        '[{"from_amount": 1}]',
        '[{"rebate_pct": 1}]',
        "[7]",
    ],
)
def test_tiers_rise(app: Connection, tiers: str) -> None:
    row(app, "ret.supplier_agreement", tiers_doc=TIERS)
    with pytest.raises(errors.CheckViolation, match="supplier_agreement_tiers_rise"):
        row(app, "ret.supplier_agreement", tiers_doc=tiers)


@pytest.mark.parametrize(
    ("amount", "expected"), [("99.99", "0"), ("100", "1"), ("499", "1"), ("500", "2.5")]
)
def test_an_amount_earns_the_tier_that_it_reaches(
    app: Connection, amount: str, expected: str
) -> None:
    found = value(app, "SELECT ret.rebate_pct(%s, %s)", TIERS, amount)
    assert found == Decimal(expected)


def test_an_agreement_is_signed_before_it_holds(app: Connection) -> None:
    row(app, "ret.supplier_agreement")
    with pytest.raises(errors.CheckViolation, match="active_is_signed"):
        app.execute("UPDATE ret.supplier_agreement SET state = 'active'")


def test_one_consignment_at_a_time(app: Connection) -> None:
    supplier = row(app, "ret.supplier")
    place = row(app, "ret.location")
    given = {"supplier_id": supplier, "effective_from": "2026-01-01"}
    row(app, "ret.consignment_agreement", effective_to="2026-03-31", **given)
    row(app, "ret.consignment_agreement", location_id=place, **given)
    with pytest.raises(errors.ExclusionViolation, match="consignment_agreement_no_overlap"):
        row(app, "ret.consignment_agreement", **given | {"effective_from": "2026-03-31"})


def test_a_gln_is_checked(app: Connection) -> None:
    row(app, "ret.supplier", gln="4012345000016")


@pytest.mark.parametrize("after", SUPPLIER)
@pytest.mark.parametrize("before", SUPPLIER)
def test_the_states_of_a_supplier(app: Connection, before: str, after: str) -> None:
    row(app, "ret.supplier", onboarded_on="2026-01-01")
    allowed = after in SUPPLIER[before] | {before}
    assert moves(app, "ret.supplier", "status", before, after) == allowed


@pytest.mark.parametrize("after", AGREEMENT)
@pytest.mark.parametrize("before", AGREEMENT)
def test_the_states_of_an_agreement(app: Connection, before: str, after: str) -> None:
    row(app, "ret.supplier_agreement", signed_on="2026-01-01")
    allowed = after in AGREEMENT[before] | {before}
    assert moves(app, "ret.supplier_agreement", "state", before, after) == allowed


@pytest.mark.parametrize("after", CONSIGNMENT)
@pytest.mark.parametrize("before", CONSIGNMENT)
def test_the_states_of_a_consignment(app: Connection, before: str, after: str) -> None:
    row(app, "ret.consignment_agreement")
    allowed = after in CONSIGNMENT[before] | {before}
    assert moves(app, "ret.consignment_agreement", "state", before, after) == allowed


@pytest.mark.parametrize(
    ("table", "state"),
    [
        ("supplier", {"status": "blocked"}),
        ("supplier_agreement", {"state": "active", "signed_on": "2026-01-01"}),
        ("consignment_agreement", {"state": "ended"}),
    ],
)
def test_what_it_does_not_start_as(app: Connection, table: str, state: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, f"ret.{table}", **state)
