"""A closed day stands, one day is open, a rate applies once; discounts and charges are possible."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

DAY = {
    "open": {"closing"},
    "closing": {"closed", "open"},
    "closed": {"reopened"},
    "reopened": {"closing"},
}
COUNTED = (
    "closed_at = opened_at + interval '12 hours', cash_counted = 410,"
    " closed_by_staff_id = (SELECT staff_member_id FROM rest.staff_member)"
)


@pytest.fixture
def day(app: Connection) -> UUID:
    """An open business day, with somebody to close it."""
    row(app, "rest.staff_member")
    return row(app, "rest.business_day", cash_expected=400)


def move(connection: Connection, state: str) -> None:
    more = f", {COUNTED}" if state == "closed" else ""
    connection.execute(f"UPDATE rest.business_day SET state = %s{more}".encode(), [state])


def bring(connection: Connection, state: str) -> None:
    """The day through its states to one of them."""
    for step in ("closing", "closed", "reopened")[: list(DAY).index(state)]:
        move(connection, step)


@pytest.mark.parametrize(("before", "after"), list(permutations(DAY, 2)))
def test_a_day_goes_through_its_states(app: Connection, day: UUID, before: str, after: str) -> None:
    bring(app, before)
    if after in DAY[before]:
        move(app, after)
        assert app.execute("SELECT state FROM rest.business_day").fetchone() == (after,)
    else:
        with pytest.raises(errors.CheckViolation):
            move(app, after)


def test_a_day_begins_open(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="closing"):
        row(app, "rest.business_day", state="closing")


def test_closing_needs_the_count(app: Connection, day: UUID) -> None:
    move(app, "closing")
    with pytest.raises(errors.CheckViolation, match="business_day_closed_is_counted"):
        app.execute("UPDATE rest.business_day SET state = 'closed'")


def test_the_difference_follows_from_the_count(app: Connection, day: UUID) -> None:
    assert app.execute("SELECT over_short FROM rest.business_day").fetchone() == (None,)
    bring(app, "closed")
    assert app.execute("SELECT over_short::text FROM rest.business_day").fetchone() == ("10.00",)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE rest.business_day SET net_sales = 1", "DELETE FROM rest.business_day"],
)
def test_a_closed_day_stands(app: Connection, day: UUID, statement: str) -> None:
    bring(app, "closed")
    with pytest.raises(errors.CheckViolation, match="is closed, its figures stand"):
        app.execute(statement.encode())


def test_one_day_is_open_at_a_location(app: Connection, day: UUID) -> None:
    known = app.execute("SELECT location_id FROM rest.business_day").fetchone()
    assert known
    with pytest.raises(errors.UniqueViolation, match="business_day_open_idx"):
        row(app, "rest.business_day", location_id=known[0], business_date="2026-05-05")


def test_the_next_day_opens_after_closing(app: Connection, day: UUID) -> None:
    known = app.execute("SELECT location_id FROM rest.business_day").fetchone()
    assert known
    bring(app, "closed")
    assert row(app, "rest.business_day", location_id=known[0], business_date="2026-05-05")


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("sales_channel", {"provider": "doordash"}, "outsiders_have_provider"),
        ("sales_channel", {"channel_kind": "marketplace"}, "outsiders_have_provider"),
        ("sales_channel", {"accept_window_seconds": 5}, "accept_window_bounded"),
        ("sales_channel", {"default_commission_pct": 101}, "commission_bounded"),
        ("tax_rate", {"rate_pct": 41}, "bounded"),
        ("tax_rate", {"effective_to": "2020-01-01"}, "ends_after_start"),
        ("discount", {"discount_kind": "percent", "discount_value": 120}, "percent_is_a_share"),
        ("discount", {"discount_kind": "fixed", "discount_value": None}, "known_has_value"),
        ("discount", {"discount_kind": "comp"}, "comp_is_approved"),
        ("discount", {"max_uses": 1, "used_count": 2}, "uses_within_limit"),
        ("service_charge", {"amount_basis": "percent"}, "known_has_value"),
        ("service_charge", {"charge_kind": "bag_fee", "min_party_size": 6}, "party_for_gratuity"),
        ("service_charge", {"charge_value": -1}, "value_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    usual = {"discount_value": 5} if table == "discount" else {}
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"rest.{table}", **{**usual, **columns})


def test_a_tax_rate_applies_once_at_a_time(app: Connection) -> None:
    known = {"location_id": row(app, "rest.location"), "tax_class": "alcohol"}
    row(app, "rest.tax_rate", effective_from="2026-01-01", effective_to="2026-06-30", **known)
    row(app, "rest.tax_rate", effective_from="2026-07-01", **known)
    with pytest.raises(errors.ExclusionViolation, match="tax_rate_no_overlap"):
        row(app, "rest.tax_rate", effective_from="2026-06-30", **known)


def test_a_promo_code_means_one_discount(app: Connection) -> None:
    for _ in range(2):
        row(app, "rest.discount", discount_value=5)
    row(app, "rest.discount", discount_value=5, promo_code="SPRING")
    with pytest.raises(errors.UniqueViolation, match="promo_code"):
        row(app, "rest.discount", discount_value=5, promo_code="SPRING")
