"""Quotes are compared, orders total their lines, receipts move order, stock and job."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_auto_stock import (
    attempt,
    change,
    differences,
    edges,
    line_of,
    post,
    stands,
)
from tests.integration.schema.test_hs_organization import one

QUOTE = {
    "pending": {"selected", "rejected", "no_stock", "expired"},
    "selected": {"rejected"},
    "rejected": {"selected"},
    "no_stock": set(),
    "expired": set(),
}
ORDER = {
    "draft": {"sent", "cancelled"},
    "sent": {"confirmed", "partial", "received", "cancelled"},
    "confirmed": {"partial", "received", "cancelled"},
    "partial": {"received", "closed"},
    "received": {"closed"},
    "closed": set(),
    "cancelled": set(),
}
LINE = {
    "open": {"backordered", "partial", "received", "cancelled", "substituted"},
    "backordered": {"open", "partial", "received", "cancelled", "substituted"},
    "partial": {"backordered", "received"},
    "substituted": {"backordered", "partial", "received", "cancelled"},
    "received": set(),
    "cancelled": set(),
}
RETURN = {
    "requested": {"authorized", "denied"},
    "authorized": {"staged", "picked_up", "denied"},
    "staged": {"authorized", "picked_up"},
    "picked_up": {"credited", "denied"},
    "credited": set(),
    "denied": set(),
}


def of_quote(outcome: str) -> dict[str, Any]:
    return {"outcome": outcome, "unit_cost": 10, "responded_at": "2026-05-04 11:00+00"}


def of_order(status: str) -> dict[str, Any]:
    return {"status": status, "ordered_at": "2026-05-04 10:00+00"}


def of_line(status: str) -> dict[str, Any]:
    """Figures of a line of four in a state."""
    return {
        "status": status,
        "ordered_qty": 4,
        "received_qty": {"received": 4, "partial": 1}.get(status, 0),
        "cancelled_qty": 4 if status == "cancelled" else 0,
        "substitute_note": "Other brand",
        "back_order_on": "2026-05-09",
    }


def of_return(status: str) -> dict[str, Any]:
    return {
        "status": status,
        "picked_up_on": "2026-05-06",
        "credited_on": "2026-05-09" if status == "credited" else None,
    }


MACHINES = {
    "parts_quote": ("outcome", QUOTE, of_quote),
    "purchase_order": ("status", ORDER, of_order),
    "purchase_order_line": ("status", LINE, of_line),
    "supplier_return": ("status", RETURN, of_return),
}


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, (_, machine, _) in MACHINES.items() for b, a in edges(machine)],
)
def test_documents_move_as_their_machine_says(
    app: Connection, table: str, before: str, after: str
) -> None:
    column, _, of = MACHINES[table]
    imported(app, f"auto.{table}", **of(before))
    if table == "purchase_order" and before == "draft":
        row(app, "auto.purchase_order_line", purchase_order_id=one(app, ORDER_ID))
    change(app, table, **of(after))
    assert one(app, f"SELECT {column} FROM auto.{table}") == after


ORDER_ID = "SELECT purchase_order_id FROM auto.purchase_order"


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, (_, machine, _) in MACHINES.items() for b, a in refused(machine)],
)
def test_documents_move_no_other_way(app: Connection, table: str, before: str, after: str) -> None:
    imported(app, f"auto.{table}", **MACHINES[table][2](before))
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        change(app, table, **MACHINES[table][2](after))


@pytest.mark.parametrize(
    ("table", "given", "truth"),
    [
        ("parts_quote", {"outcome": "selected"}, "selected_is_priced"),
        ("parts_quote", {"responded_at": "2020-01-01"}, "answered_after_request"),
        ("parts_quote", {"expires_at": "2020-01-01"}, "expires_after_request"),
        ("purchase_order", {"order_kind": "job"}, "of_a_job_names_its_order"),
        ("purchase_order", {"status": "sent"}, "sent_is_ordered"),
        ("purchase_order", {"paid_on": "2026-05-04"}, "paid_after_invoice"),
        ("purchase_order", {"invoiced_on": "2026-05-04"}, "invoice_is_named"),
        ("purchase_order_line", {"ordered_qty": 0}, "ordered_positive"),
        ("purchase_order_line", {"received_qty": 2, "ordered_qty": 1}, "not_over_ordered"),
        ("purchase_order_line", {"status": "received"}, "received_is_complete"),
        ("purchase_order_line", {"status": "backordered"}, "back_order_has_day"),
        ("purchase_order_line", {"status": "substituted"}, "substitute_is_told"),
        ("goods_receipt", {"received_qty": 0}, "brings_something"),
        ("goods_receipt", {"rejected_qty": 1}, "rejected_has_reason"),
        ("supplier_return", {"qty": 0}, "qty_positive"),
        ("supplier_return", {"status": "picked_up"}, "picked_up_has_day"),
        ("supplier_return", {"credited_on": "2026-05-04"}, "credited_has_day"),
        ("supplier_return", {"credited_amount": 1}, "credit_as_expected|credited_has_amount"),
    ],
)
def test_documents_hold_what_practitioners_say(
    app: Connection, table: str, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        imported(app, f"auto.{table}", **given)


def test_one_answer_of_an_inquiry_is_taken(app: Connection) -> None:
    for _ in range(2):
        row(app, "auto.parts_quote", inquiry_ref="INQ-1")
    row(app, "auto.parts_quote", inquiry_ref="INQ-2")
    with pytest.raises(errors.UniqueViolation, match="one_selected"):
        change(app, "parts_quote", **of_quote("selected"))


def offer(warehouse: str, cost: float, eta: str, **given: Any) -> dict[str, Any]:
    return {
        "part_number": "BRK-1",
        "warehouse": warehouse,
        "unit_cost": cost,
        "available_qty": 2,
        "eta_at": f"2026-05-04 {eta}+00",
        **given,
    }


def test_offers_are_ranked_by_landed_cost_and_arrival(app: Connection) -> None:
    near = [offer("HUB", 40, "11:00"), offer("DC", 31, "16:00", freight=9.5)]
    far = [offer("EAST", 38, "15:00"), offer("GONE", 1, "10:30", available_qty=0)]
    for lines in (near, far):
        document = Jsonb({"lines": lines})
        row(app, "auto.parts_quote", inquiry_ref="INQ-1", response_document=document)
    lapsed = Jsonb({"lines": [offer("OLD", 2, "10:00")]})
    imported(
        app,
        "auto.parts_quote",
        inquiry_ref="INQ-1",
        outcome="expired",
        response_document=lapsed,
    )
    found = app.execute(
        "SELECT warehouse, landed_cost, cost_rank, arrival_rank FROM auto.rank_offers('INQ-1')"
    ).fetchall()
    assert found == [("EAST", 38, 1, 2), ("HUB", 40, 2, 1), ("DC", 40.5, 3, 3)]


def test_orders_and_returns_are_numbered(app: Connection) -> None:
    row(app, "auto.purchase_order", po_number=None)
    row(app, "auto.supplier_return", return_number=None, qty=1)
    assert str(one(app, "SELECT po_number FROM auto.purchase_order")).startswith("PO-")
    assert str(one(app, "SELECT return_number FROM auto.supplier_return")).startswith("SR-")


@pytest.fixture
def part(app: Connection) -> UUID:
    """A part without a core."""
    return row(app, "auto.part", core_charge_amount=0, part_number="BRK-1")


@pytest.fixture
def order(app: Connection) -> UUID:
    """A draft."""
    return row(app, "auto.purchase_order", po_number="PO-1", status="draft")


def order_line(connection: Connection, order: UUID, part: UUID, **given: Any) -> UUID:
    columns = {"ordered_qty": 4, "unit_cost": 10, "core_cost": 3, "line_no": 1, **given}
    return row(
        connection,
        "auto.purchase_order_line",
        **{"purchase_order_id": order, "part_id": part, **columns},
    )


def send(connection: Connection) -> None:
    change(connection, "purchase_order", status="sent", ordered_at="2026-05-04")


def receive(connection: Connection, line: UUID, qty: float = 4, **given: Any) -> UUID:
    columns = {"received_qty": qty, "unit_cost": 10, **given}
    return row(connection, "auto.goods_receipt", purchase_order_line_id=line, **columns)


def amounts(connection: Connection) -> Any:
    return connection.execute(
        "SELECT subtotal_amount, core_amount, total_amount FROM auto.purchase_order"
    ).fetchone()


def test_an_order_totals_its_lines(app: Connection, order: UUID, part: UUID) -> None:
    order_line(app, order, part)
    second = order_line(app, order, part, line_no=2, ordered_qty=1)
    change(app, "purchase_order", freight_amount=7)
    assert amounts(app) == (50, 15, 72)
    app.execute(
        "UPDATE auto.purchase_order_line SET unit_cost = 20 WHERE purchase_order_line_id = %s",
        [second],
    )
    assert amounts(app) == (60, 15, 82)
    app.execute("DELETE FROM auto.purchase_order_line WHERE line_no = 2")
    send(app)
    change(app, "purchase_order_line", cancelled_qty=1)
    assert amounts(app) == (30, 9, 46)


def test_an_order_without_lines_is_not_sent(app: Connection, order: UUID) -> None:
    assert order
    with pytest.raises(errors.CheckViolation, match="purchase order PO-1 has no line"):
        send(app)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM auto.purchase_order_line",
        "UPDATE auto.purchase_order_line SET ordered_qty = 9",
        "UPDATE auto.purchase_order_line SET unit_cost = 9",
    ],
)
def test_the_lines_of_a_sent_order_stay(
    app: Connection, order: UUID, part: UUID, statement: str
) -> None:
    order_line(app, order, part)
    send(app)
    change(app, "purchase_order_line", confirmed_qty=3)
    with pytest.raises(errors.RestrictViolation, match="PO-1 is sent, its lines stay"):
        app.execute(statement.encode())


def test_a_receipt_moves_line_order_and_stock(app: Connection, order: UUID, part: UUID) -> None:
    line = order_line(app, order, part)
    send(app)
    place = row(app, "auto.stock_location")
    receive(app, line, 1, stock_location_id=place, unit_cost=11)
    states = "SELECT l.status || ' ' || p.status FROM auto.purchase_order_line AS l, {}"
    states = states.format("auto.purchase_order AS p")
    assert one(app, states) == "partial partial"
    assert one(app, "SELECT cost_variance_pct FROM auto.goods_receipt") == 10
    receive(app, line, 3, stock_location_id=place, rejected_qty=1, reject_reason="damaged")
    assert one(app, states) == "received received"
    assert stands(app) == (4, 0, 0)
    assert one(app, "SELECT average_cost FROM auto.stock_balance") == 10.25
    assert differences(app) == []


def test_a_refused_delivery_moves_nothing(app: Connection, order: UUID, part: UUID) -> None:
    line = order_line(app, order, part)
    send(app)
    receive(app, line, 0, rejected_qty=4, reject_reason="wrong_part")
    assert one(app, "SELECT status FROM auto.purchase_order") == "sent"
    assert one(app, "SELECT count(*) FROM auto.stock_movement") == 0


@pytest.mark.parametrize(
    ("is_sent", "qty", "says"),
    [
        (False, 4, r"PO-1 \(draft\) line 1 awaits 4.0000, not 4.0000"),
        (True, 5, r"PO-1 \(sent\) line 1 awaits 4.0000, not 5.0000"),
    ],
)
def test_a_receipt_is_of_what_was_ordered(
    app: Connection, order: UUID, part: UUID, is_sent: bool, qty: float, says: str
) -> None:
    line = order_line(app, order, part)
    if is_sent:
        send(app)
    with pytest.raises(errors.CheckViolation, match=says):
        receive(app, line, qty)


def test_a_receipt_is_kept_for_the_job_that_waits(app: Connection, order: UUID, part: UUID) -> None:
    waiting = line_of(app, part, None, 3)
    line = order_line(app, order, part, part_line_id=waiting)
    send(app)
    change(app, "part_line", status="ordered")
    place = row(app, "auto.stock_location")
    receive(app, line, stock_location_id=place)
    found = app.execute("SELECT status, stock_location_id FROM auto.part_line").fetchone()
    assert found == ("received", place)
    assert stands(app) == (4, 3, 0)


def test_a_receipt_is_not_rewritten(app: Connection, order: UUID, part: UUID) -> None:
    line = order_line(app, order, part)
    send(app)
    receive(app, line)
    change(app, "goods_receipt", label_printed=True)
    with (
        pytest.raises(errors.RestrictViolation, match="a goods receipt is on stock"),
        app.transaction(),
    ):
        change(app, "goods_receipt", received_qty=3)
    with pytest.raises(errors.RestrictViolation, match="a goods receipt is on stock"):
        app.execute("DELETE FROM auto.goods_receipt")


@pytest.mark.parametrize("category", ["tires", "brakes"])
def test_only_tires_have_tire_numbers(app: Connection, order: UUID, category: str) -> None:
    part = row(app, "auto.part", part_type_id=row(app, "auto.part_type", category=category))
    line = order_line(app, order, part)
    send(app)
    if category == "tires":
        receive(app, line, dot_tin_range="1A2 1025 to 1A2 1125")
        return
    with pytest.raises(errors.CheckViolation, match="is no tire, it has no TIN"):
        receive(app, line, dot_tin_range="1A2 1025 to 1A2 1125")


@pytest.mark.parametrize(("kind", "left"), [("new_return", 3), ("warranty", 4)])
def test_what_is_picked_up_leaves_the_stock(
    app: Connection, order: UUID, part: UUID, kind: str, left: int
) -> None:
    line = order_line(app, order, part)
    send(app)
    receipt = receive(app, line)
    given = {"goods_receipt_id": receipt, "return_kind": kind, "status": "authorized"}
    row(app, "auto.supplier_return", part_id=part, qty=1, **given)
    change(app, "supplier_return", status="picked_up", picked_up_on="2026-05-06")
    assert stands(app) == (left, 0, 0)


def chase(connection: Connection) -> Any:
    return connection.execute(
        "SELECT po_number, line_status, outstanding_qty, breaks_promise, is_overdue,"
        " alternative_count, alternative_best_cost FROM auto.v_parts_to_chase"
    ).fetchone()


def test_parts_that_block_a_car_are_chased(app: Connection, order: UUID, part: UUID) -> None:
    waiting = line_of(app, part, None, 4)
    job = one(app, "SELECT repair_job_id FROM auto.part_line")
    order_line(app, order, part, part_line_id=waiting, eta_at="2099-01-01")
    send(app)
    change(app, "repair_order", promised_at="2098-01-01")
    for cost, qty in ((12, 4), (11, 9), (5, 1)):
        quoted = {"part_id": part, "repair_job_id": job, "unit_cost": cost}
        row(app, "auto.parts_quote", available_qty=qty, **quoted)
    assert chase(app) == ("PO-1", "open", 4, True, False, 2, 11)
    change(app, "purchase_order_line", eta_at="2020-01-01")
    assert chase(app) == ("PO-1", "open", 4, False, True, 2, 11)
    change(app, "purchase_order", status="cancelled")
    assert chase(app) is None


def test_deliveries_of_one_line_at_once_take_turns(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        part = row(connection, "auto.part", core_charge_amount=0)
        place = row(connection, "auto.stock_location")
        post(connection, part, place, 1, "receipt")
        order = row(connection, "auto.purchase_order", status="draft")
        line = order_line(connection, order, part)
        send(connection)

    def deliver(_: int) -> int:
        return attempt(target, tenant, lambda c: receive(c, line, 1, stock_location_id=place))

    with ThreadPoolExecutor(6) as pool:
        taken = sum(pool.map(deliver, range(7)))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert (taken, stands(connection), differences(connection)) == (4, (5, 0, 0), [])
        assert one(connection, "SELECT status FROM auto.purchase_order") == "received"
