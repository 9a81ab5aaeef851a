"""Old units are worth money: deposits open with the issue and close on both sides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_auto_stock import (
    change,
    differences,
    edges,
    line_of,
    post,
    turn,
)
from tests.integration.schema.test_hs_organization import one

CUSTOMER = {
    "not_charged": {"charged"},
    "charged": {"credited", "forfeited"},
    "credited": set(),
    "forfeited": {"credited"},
}
SUPPLIER = {
    "not_charged": {"owed"},
    "owed": {"shipped", "not_charged", "rejected"},
    "shipped": {"credited", "rejected"},
    "rejected": {"shipped"},
    "credited": set(),
}
SIDES = {"customer_state": CUSTOMER, "supplier_state": SUPPLIER}


def deposit(connection: Connection, **given: Any) -> UUID:
    """A deposit as history brings it."""
    supplier = row(connection, "auto.supplier")
    columns = {"supplier_id": supplier, "core_number": None, "rejected_reason": "Cracked"}
    return imported(connection, "auto.core_deposit", **{**columns, **given})


@pytest.mark.parametrize(
    ("side", "before", "after"), [(s, b, a) for s, m in SIDES.items() for b, a in edges(m)]
)
def test_each_side_settles_as_its_machine_says(
    app: Connection, side: str, before: str, after: str
) -> None:
    deposit(app, **{side: before})
    change(app, "core_deposit", **{side: after})
    assert one(app, f"SELECT {side} FROM auto.core_deposit") == after


@pytest.mark.parametrize(
    ("side", "before", "after"), [(s, b, a) for s, m in SIDES.items() for b, a in refused(m)]
)
def test_no_side_settles_otherwise(app: Connection, side: str, before: str, after: str) -> None:
    deposit(app, **{side: before})
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        change(app, "core_deposit", **{side: after})


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"supplier_state": "rejected", "rejected_reason": " "}, "rejected_has_reason"),
        ({"supplier_state": "owed", "supplier_id": None}, "owed_to_a_supplier"),
        ({"credited_amount": 5}, "credit_within_charge|credited_by_supplier"),
        ({"received_on": "2026-05-04"}, "received_has_condition"),
        ({"received_on": "2026-05-04", "condition": "missing"}, "received_has_condition"),
        (
            {"received_on": "2026-05-04", "condition": "good", "due_back_on": "2026-05-04"},
            "due_after_received",
        ),
    ],
)
def test_a_deposit_holds_what_the_counter_says(
    app: Connection, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        deposit(app, **given)


@pytest.fixture
def part(app: Connection) -> UUID:
    """A starter with a core of 40."""
    return row(app, "auto.part", core_charge_amount=40, part_number="STR-1")


@pytest.fixture
def supplier(app: Connection) -> UUID:
    """Takes cores back for 45 days."""
    return row(app, "auto.supplier", core_window_days=45, name="Rebuilders")


@pytest.fixture
def line(app: Connection, part: UUID, supplier: UUID) -> UUID:
    """A part line whose starters are issued."""
    place = row(app, "auto.stock_location")
    post(app, part, place, 5, "receipt")
    found = line_of(app, part, place, 2)
    change(app, "part_line", core_price=50, supplier_id=supplier)
    turn(app, found, "reserved", "issued")
    return found


@pytest.fixture
def shelf(app: Connection) -> UUID:
    """A core shelf."""
    return row(app, "auto.stock_location", location_kind="core_shelf")


def settled(connection: Connection) -> Any:
    return connection.execute(
        "SELECT customer_state, supplier_state, credited_amount FROM auto.core_deposit"
    ).fetchone()


def take_in(connection: Connection, part: UUID, shelf: UUID, line: UUID) -> None:
    post(connection, part, shelf, 2, "core_in", f"part_line:{line}")


def test_an_issue_opens_a_deposit_on_both_sides(app: Connection, line: UUID) -> None:
    found = app.execute(
        "SELECT part_line_id, charged_to_customer_amount, charged_by_supplier_amount,"
        " due_back_on - tenant_mgmt.today(), core_number LIKE 'CORE-%' FROM auto.core_deposit"
    ).fetchone()
    assert found == (line, 100, 80, 45, True)
    assert settled(app) == ("charged", "owed", 0)


def test_a_part_without_a_core_opens_none(app: Connection) -> None:
    part = row(app, "auto.part", core_charge_amount=0)
    place = row(app, "auto.stock_location")
    post(app, part, place, 1, "receipt")
    turn(app, line_of(app, part, place), "reserved", "issued")
    assert settled(app) is None


def test_what_the_supplier_charged_is_what_it_owes(app: Connection, part: UUID) -> None:
    place = row(app, "auto.stock_location")
    line = line_of(app, part, None, 1)
    maker = row(app, "auto.supplier", core_window_days=None)
    order = row(app, "auto.purchase_order", supplier_id=maker, status="draft")
    ordered = row(
        app,
        "auto.purchase_order_line",
        purchase_order_id=order,
        part_id=part,
        part_line_id=line,
        ordered_qty=1,
        core_cost=33,
    )
    change(app, "purchase_order", status="sent", ordered_at="2026-05-04")
    turn(app, line, "ordered")
    receipt = row(
        app, "auto.goods_receipt", purchase_order_line_id=ordered, stock_location_id=place
    )
    turn(app, line, "issued")
    found = app.execute(
        "SELECT supplier_id, goods_receipt_id, charged_to_customer_amount,"
        " charged_by_supplier_amount, due_back_on - tenant_mgmt.today() FROM auto.core_deposit"
    ).fetchone()
    assert found == (maker, receipt, 40, 33, 30)


def test_a_part_that_comes_back_unused_owes_no_core(app: Connection, line: UUID) -> None:
    turn(app, line, "returned")
    assert settled(app) == ("credited", "not_charged", 0)


def test_the_old_unit_in_hand_credits_the_customer(
    app: Connection, part: UUID, shelf: UUID, line: UUID
) -> None:
    take_in(app, part, shelf, line)
    assert settled(app) == ("credited", "owed", 0)
    found = app.execute(
        "SELECT condition, received_on = tenant_mgmt.today() FROM auto.core_deposit"
    ).fetchone()
    assert found == ("good", True)
    assert one(app, "SELECT sum(dirty_core_qty) FROM auto.stock_balance") == 2
    assert differences(app) == []


def test_a_core_after_its_window_is_refused(
    app: Connection, part: UUID, shelf: UUID, line: UUID
) -> None:
    change(app, "core_deposit", due_back_on="2020-01-01")
    with pytest.raises(errors.CheckViolation, match="was due back until 2020-01-01"):
        take_in(app, part, shelf, line)


def send_back(connection: Connection, part: UUID, supplier: UUID) -> None:
    """A return of two cores, with their deposit, is picked up."""
    back = row(
        connection,
        "auto.supplier_return",
        part_id=part,
        supplier_id=supplier,
        return_kind="core",
        status="authorized",
        qty=2,
        expected_credit_amount=80,
    )
    change(connection, "core_deposit", supplier_return_id=back)
    change(
        connection,
        "supplier_return",
        status="picked_up",
        requested_on="2026-05-04",
        picked_up_on="2026-05-06",
    )


def test_cores_go_back_and_are_credited(
    app: Connection, part: UUID, shelf: UUID, line: UUID, supplier: UUID
) -> None:
    take_in(app, part, shelf, line)
    send_back(app, part, supplier)
    assert settled(app) == ("credited", "shipped", 0)
    assert one(app, "SELECT sum(dirty_core_qty) FROM auto.stock_balance") == 0
    change(app, "supplier_return", status="credited", credited_on="2026-05-20", credited_amount=80)
    assert settled(app) == ("credited", "credited", 80)
    assert differences(app) == []


def test_cores_that_are_not_there_do_not_go_back(
    app: Connection, part: UUID, line: UUID, supplier: UUID
) -> None:
    assert line
    with pytest.raises(errors.CheckViolation, match=r"there are no 2\.0000 cores on a shelf"):
        send_back(app, part, supplier)


def bank(connection: Connection) -> Any:
    return connection.execute(
        "SELECT part_number, supplier_name, held_for_customer_amount, due_from_supplier_amount,"
        " days_left, is_lapsed FROM auto.v_core_bank"
    ).fetchone()


def test_the_core_bank_tells_who_owes_what(
    app: Connection, part: UUID, shelf: UUID, line: UUID, supplier: UUID
) -> None:
    assert bank(app) == ("STR-1", "Rebuilders", 100, 80, 45, False)
    take_in(app, part, shelf, line)
    assert bank(app) == ("STR-1", "Rebuilders", 0, 80, 45, False)
    send_back(app, part, supplier)
    change(app, "supplier_return", status="credited", credited_on="2026-05-20", credited_amount=80)
    assert bank(app) is None


def test_the_core_bank_tells_what_lapsed(app: Connection, line: UUID) -> None:
    assert line
    change(app, "core_deposit", due_back_on="2020-01-01")
    assert bank(app)[-1] is True
