"""Orders go to vendors, receipts write the ledger, what is open is on its way."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_inventory import (
    add_item,
    add_place,
    add_unit,
    average_cost,
    move,
    moves,
    on_hand,
    where,
)
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_workforce import add_technician

ORDER = {
    "draft": {"approved", "cancelled"},
    "approved": {"sent", "draft", "cancelled"},
    "sent": {"partially_received", "received", "cancelled"},
    "partially_received": {"received", "closed", "sent"},
    "received": {"billed", "closed", "partially_received", "sent"},
    "billed": {"closed"},
    "closed": set(),
    "cancelled": set(),
}
RECEIPT: dict[str, set[str]] = {"open": {"posted"}, "posted": {"reversed"}, "reversed": set()}


def add_vendor(connection: Connection, number: str = "V1") -> UUID:
    """A supply house of the current tenant."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.vendor (business_id, vendor_number, name, currency_code)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'Prairie Supply', 'USD')"
        " RETURNING vendor_id",
        number,
    )
    return found


def add_order(connection: Connection, vendor: UUID, place: UUID, number: str = "PO-1") -> UUID:
    """A draft of an order for stock."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.purchase_order (business_id, vendor_id, ship_to_location_id, po_number)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s) RETURNING purchase_order_id",
        vendor,
        place,
        number,
    )
    return found


def add_line(
    connection: Connection,
    order: UUID,
    item: UUID | None,
    quantity: float = 10,
    cost: float = 2,
    number: int = 1,
) -> UUID:
    """A line of an order, taxed with 8 %."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.purchase_order_line (business_id, purchase_order_id, stock_item_id,"
        " line_no, description, ordered_qty, unit_cost, tax_pct)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, 'A part', %s, %s, 8)"
        " RETURNING purchase_order_line_id",
        order,
        item,
        number,
        quantity,
        cost,
    )
    return found


def send(connection: Connection, order: UUID) -> None:
    for status in ("approved", "sent"):
        connection.execute(
            "UPDATE hs.purchase_order SET status = %s, approved_at = now()"
            " WHERE purchase_order_id = %s",
            [status, order],
        )


def add_receipt(connection: Connection, order: UUID, place: UUID, number: str = "GR-1") -> UUID:
    """An open receipt against an order."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.goods_receipt (business_id, purchase_order_id, stock_location_id,"
        " receipt_number) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s)"
        " RETURNING goods_receipt_id",
        order,
        place,
        number,
    )
    return found


def count(
    connection: Connection, receipt: UUID, line: UUID, accepted: float, cost: float = 2
) -> None:
    """Counts what arrived of a line of the order."""
    connection.execute(
        "INSERT INTO hs.goods_receipt_line (business_id, goods_receipt_id,"
        " purchase_order_line_id, line_no, accepted_qty, unit_cost)"
        " SELECT tenant_mgmt.current_business_id(), %s, %s, 1 + count(*), %s, %s"
        " FROM hs.goods_receipt_line WHERE goods_receipt_id = %s",
        [receipt, line, accepted, cost, receipt],
    )


def post(connection: Connection, receipt: UUID) -> Any:
    return one(connection, "SELECT hs.post_goods_receipt(%s)", receipt)


def reverse(connection: Connection, receipt: UUID) -> None:
    connection.execute(
        "UPDATE hs.goods_receipt SET status = 'reversed' WHERE goods_receipt_id = %s", [receipt]
    )


def order_of(connection: Connection) -> Any:
    return connection.execute(
        "SELECT o.status, sum(l.received_qty) FROM hs.purchase_order AS o"
        " JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_id)"
        " GROUP BY o.status"
    ).fetchone()


def on_order(connection: Connection) -> Any:
    return one(connection, "SELECT sum(on_order_qty) FROM hs.stock_balance") or 0


@pytest.fixture
def item(app: Connection) -> UUID:
    """An item that is counted."""
    return add_item(app)


@pytest.fixture
def shelf(app: Connection) -> UUID:
    """A warehouse."""
    return add_place(app, "WH-1")


@pytest.fixture
def vendor(app: Connection) -> UUID:
    """A supply house."""
    return add_vendor(app)


@pytest.fixture
def order(app: Connection, vendor: UUID, shelf: UUID) -> UUID:
    """A draft without lines."""
    return add_order(app, vendor, shelf)


@pytest.fixture
def line(app: Connection, order: UUID, item: UUID) -> UUID:
    """Ten for 2.00 each, on an order that was sent."""
    found = add_line(app, order, item)
    send(app, order)
    return found


@pytest.fixture
def receipt(app: Connection, order: UUID, line: UUID, shelf: UUID) -> UUID:
    """An open receipt of six of the ten."""
    found = add_receipt(app, order, shelf)
    count(app, found, line, 6)
    return found


def test_the_preferred_vendor_of_an_item_follows_the_lists(
    app: Connection, item: UUID, vendor: UUID
) -> None:
    other = add_vendor(app, "V2")
    for seller, preferred in ((vendor, True), (other, False)):
        app.execute(
            "INSERT INTO hs.vendor_item (business_id, vendor_id, stock_item_id, vendor_sku,"
            " unit_cost, is_preferred) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'P1',"
            " 2, %s)",
            [seller, item, preferred],
        )
    preferred_now = "SELECT preferred_vendor_id FROM hs.stock_item"
    assert one(app, preferred_now) == vendor
    prefer = "UPDATE hs.vendor_item SET is_preferred = %s WHERE vendor_id = %s"
    with pytest.raises(errors.UniqueViolation, match="preferred_idx"), app.transaction():
        app.execute(prefer, [True, other])
    app.execute(prefer, [False, vendor])
    assert one(app, preferred_now) is None
    app.execute(prefer, [True, other])
    assert one(app, preferred_now) == other
    app.execute("DELETE FROM hs.vendor_item WHERE vendor_id = %s", [other])
    assert one(app, preferred_now) is None


def test_amounts_of_an_order_follow_its_lines(app: Connection, order: UUID, item: UUID) -> None:
    amounts = "SELECT ARRAY[subtotal_amount, tax_amount, total_amount]::text FROM hs.purchase_order"
    app.execute("UPDATE hs.purchase_order SET freight_amount = 5")
    add_line(app, order, item, 10, 2)
    add_line(app, order, None, 1, 50, number=2)
    assert one(app, amounts) == "{70.00,5.60,80.60}"
    app.execute("UPDATE hs.purchase_order_line SET cancelled_qty = 4 WHERE line_no = 1")
    assert one(app, amounts) == "{62.00,4.96,71.96}"
    app.execute("DELETE FROM hs.purchase_order_line WHERE line_no = 2")
    assert one(app, amounts) == "{12.00,0.96,17.96}"
    with pytest.raises(errors.RestrictViolation, match="follow its lines"):
        app.execute("UPDATE hs.purchase_order SET subtotal_amount = 1")


@pytest.mark.usefixtures("line")
def test_what_was_sent_is_on_its_way_until_it_is_given_up(app: Connection, order: UUID) -> None:
    assert on_order(app) == 10
    app.execute("UPDATE hs.purchase_order_line SET cancelled_qty = 3")
    assert on_order(app) == 7
    app.execute(
        "UPDATE hs.purchase_order SET status = 'cancelled' WHERE purchase_order_id = %s", [order]
    )
    assert on_order(app) == 0


def test_a_draft_is_not_on_its_way(app: Connection, order: UUID, item: UUID) -> None:
    add_line(app, order, item)
    assert on_order(app) == 0


def test_two_orders_of_an_item_are_both_on_their_way(
    app: Connection, vendor: UUID, shelf: UUID, line: UUID, item: UUID
) -> None:
    other = add_order(app, vendor, shelf, "PO-2")
    add_line(app, other, item, 4)
    send(app, other)
    assert on_order(app) == 14, line


@pytest.mark.usefixtures("line")
def test_what_a_vendor_was_told_stays(app: Connection, order: UUID, item: UUID) -> None:
    with pytest.raises(errors.RestrictViolation, match="was sent"), app.transaction():
        app.execute("UPDATE hs.purchase_order SET ordered_on = ordered_on - 1")
    with pytest.raises(errors.RestrictViolation, match="is sent stays"), app.transaction():
        app.execute("UPDATE hs.purchase_order_line SET unit_cost = 1")
    with pytest.raises(errors.RestrictViolation, match="is sent stays"), app.transaction():
        add_line(app, order, item, number=2)
    with pytest.raises(errors.RestrictViolation, match="is sent stays"), app.transaction():
        app.execute("DELETE FROM hs.purchase_order_line")
    with pytest.raises(errors.RestrictViolation, match="received_qty follows"):
        app.execute("UPDATE hs.purchase_order_line SET received_qty = 1")


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("status", ["partially_received", "received"])
def test_nobody_says_that_an_order_was_received(app: Connection, status: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="follows its receipts"):
        app.execute("UPDATE hs.purchase_order SET status = %s", [status])


def test_receipts_write_the_ledger_and_move_the_order_on(
    app: Connection, order: UUID, line: UUID, receipt: UUID, shelf: UUID, item: UUID
) -> None:
    assert on_hand(app, item, shelf) == 0, "an open receipt changes nothing"
    assert post(app, receipt) == 1
    assert order_of(app) == ("partially_received", 6)
    assert (on_hand(app, item, shelf), on_order(app), average_cost(app, item)) == (6, 4, 2)
    rest = add_receipt(app, order, shelf, "GR-2")
    count(app, rest, line, 4, cost=4.5)
    post(app, rest)
    assert order_of(app) == ("received", 10)
    assert (on_hand(app, item, shelf), on_order(app), average_cost(app, item)) == (10, 0, 3)
    booked = app.execute(
        "SELECT movement_kind, moved_qty, source_ref FROM hs.stock_movement ORDER BY source_ref"
    ).fetchall()
    assert booked == [("receipt", 6, "GR-1"), ("receipt", 4, "GR-2")]
    assert app.execute("SELECT * FROM hs.stock_differences()").fetchall() == []


def test_a_reversal_takes_both_back(
    app: Connection, receipt: UUID, shelf: UUID, item: UUID
) -> None:
    post(app, receipt)
    reverse(app, receipt)
    assert order_of(app) == ("sent", 0)
    assert (on_hand(app, item, shelf), on_order(app)) == (0, 10)


def test_what_was_used_cannot_be_sent_back(
    app: Connection, receipt: UUID, shelf: UUID, item: UUID
) -> None:
    post(app, receipt)
    move(app, item, "issue", 1, shelf)
    with pytest.raises(errors.CheckViolation, match="is short of"):
        reverse(app, receipt)


def test_no_more_is_received_than_ordered(
    app: Connection, order: UUID, line: UUID, shelf: UUID
) -> None:
    receipt = add_receipt(app, order, shelf)
    count(app, receipt, line, 11)
    with pytest.raises(errors.CheckViolation, match="not_more_than_ordered"):
        post(app, receipt)


def test_an_order_is_received_when_the_rest_was_given_up(
    app: Connection, receipt: UUID, shelf: UUID
) -> None:
    app.execute("UPDATE hs.purchase_order_line SET cancelled_qty = 4")
    post(app, receipt)
    assert order_of(app) == ("received", 6)
    assert on_order(app) == 0, shelf


def test_only_sent_orders_are_received(
    app: Connection, order: UUID, item: UUID, shelf: UUID
) -> None:
    line = add_line(app, order, item)
    receipt = add_receipt(app, order, shelf)
    count(app, receipt, line, 1)
    with pytest.raises(errors.CheckViolation, match="order PO-1 is draft"):
        post(app, receipt)


def test_a_posted_receipt_is_immutable(app: Connection, receipt: UUID, line: UUID) -> None:
    post(app, receipt)
    with pytest.raises(errors.RestrictViolation, match="GR-1 is posted"), app.transaction():
        app.execute("UPDATE hs.goods_receipt SET note_text = 'late'")
    with pytest.raises(errors.RestrictViolation, match="GR-1 is posted"), app.transaction():
        app.execute("DELETE FROM hs.goods_receipt")
    with pytest.raises(errors.RestrictViolation, match="posted stays"), app.transaction():
        app.execute("UPDATE hs.goods_receipt_line SET accepted_qty = 5")
    with pytest.raises(errors.RestrictViolation, match="posted stays"), app.transaction():
        count(app, receipt, line, 1)
    with pytest.raises(errors.NoDataFound, match="no open receipt"):
        post(app, receipt)


@pytest.mark.usefixtures("line")
def test_a_receipt_without_lines_is_not_posted(app: Connection, order: UUID, shelf: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no open receipt"), app.transaction():
        post(app, add_receipt(app, order, shelf))
    with pytest.raises(errors.NoDataFound, match="no open receipt"):
        post(app, uuid4())


def test_a_receipt_takes_lines_of_its_own_order(
    app: Connection, vendor: UUID, shelf: UUID, line: UUID
) -> None:
    other = add_receipt(app, add_order(app, vendor, shelf, "PO-2"), shelf)
    with pytest.raises(errors.CheckViolation, match="own order only"):
        count(app, other, line, 1)


def test_what_is_dropped_at_the_job_does_not_lie_on_a_shelf(
    app: Connection, order: UUID, line: UUID, shelf: UUID
) -> None:
    receipt = add_receipt(app, order, shelf)
    app.execute("UPDATE hs.goods_receipt SET receipt_kind = 'drop_ship'")
    count(app, receipt, line, 10)
    post(app, receipt)
    assert order_of(app) == ("received", 10)
    assert one(app, "SELECT count(*) FROM hs.stock_movement") == 0


def test_pieces_arrive_with_their_serial_numbers(
    app: Connection, order: UUID, vendor: UUID, shelf: UUID
) -> None:
    heater = add_item(app, "WH-50", serialized=True)
    line = add_line(app, order, heater, 2, 600)
    send(app, order)
    receipt = add_receipt(app, order, shelf)
    count(app, receipt, line, 2, cost=600)
    units = [add_unit(app, heater, "SN1")]
    name = "UPDATE hs.serialized_unit SET vendor_id = %s, lot_number = 'GR-1'"
    app.execute(name, [vendor])
    with pytest.raises(errors.CheckViolation, match="pieces of WH-50"), app.transaction():
        post(app, receipt)
    units.append(add_unit(app, heater, "SN2"))
    app.execute(name, [vendor])
    post(app, receipt)
    assert [where(app, unit) for unit in units] == [("in_stock", shelf, False)] * 2
    assert on_hand(app, heater, shelf) == 2
    with app.transaction(force_rollback=True):
        move(app, heater, "issue", 1, shelf, unit=units[0])
        with pytest.raises(errors.CheckViolation, match="as many pieces"), app.transaction():
            reverse(app, receipt)
    reverse(app, receipt)
    assert [where(app, unit) for unit in units] == [("returned", None, False)] * 2


def test_a_receipt_says_when_an_item_was_last_bought(
    app: Connection, vendor: UUID, item: UUID, receipt: UUID
) -> None:
    app.execute(
        "INSERT INTO hs.vendor_item (business_id, vendor_id, stock_item_id, vendor_sku,"
        " unit_cost) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'P1', 2)",
        [vendor, item],
    )
    post(app, receipt)
    assert one(app, "SELECT last_purchased_on = current_date FROM hs.vendor_item")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("po_kind = 'job'", "purchase_order_job_is_named"),
        ("po_kind = 'drop_ship'", "purchase_order_job_is_named"),
        ("ship_to_location_id = NULL", "purchase_order_place_unless_dropped"),
        ("status = 'approved'", "purchase_order_approved_beyond_draft"),
        ("expected_on = ordered_on - 1", "purchase_order_expected_after_order"),
        ("freight_amount = -1", "purchase_order_amounts_not_negative"),
    ],
)
@pytest.mark.usefixtures("order")
def test_an_order_is_whole(app: Connection, change: str, truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE hs.purchase_order SET {change}".encode())


@pytest.mark.usefixtures("receipt")
def test_a_counter_pickup_names_who_picked_it_up(app: Connection) -> None:
    pick_up = "UPDATE hs.goods_receipt SET receipt_kind = 'counter_pickup'"
    with pytest.raises(errors.CheckViolation, match="picked_up_by_somebody"), app.transaction():
        app.execute(pick_up)
    app.execute(f"{pick_up}, picked_up_by_technician_id = %s".encode(), [add_technician(app)])


@pytest.mark.usefixtures("receipt")
@pytest.mark.parametrize(
    ("table", "transitions"), [("purchase_order", ORDER), ("goods_receipt", RECEIPT)]
)
def test_the_state_machine_refuses_every_other_transition(
    app: Connection, table: str, transitions: dict[str, set[str]]
) -> None:
    for before in transitions:
        for after in transitions.keys() - {before}:
            found = moves(app, f"hs.{table}", {}, before, after)
            assert found == (after in transitions[before]), (before, after)
