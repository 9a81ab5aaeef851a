"""Orders go to vendors as they deliver, receipts fill the shelves once, invoices match in three."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row

ORDER = {
    "draft": {"submitted", "cancelled"},
    "submitted": {"confirmed", "partly_received", "received", "cancelled"},
    "confirmed": {"partly_received", "received", "cancelled"},
    "partly_received": {"received", "closed"},
    "received": {"closed"},
    "closed": set(),
    "cancelled": set(),
}
ORDER_PATHS: dict[str, tuple[str, ...]] = {
    "draft": (),
    "submitted": ("submitted",),
    "confirmed": ("submitted", "confirmed"),
    "partly_received": ("submitted", "partly_received"),
    "received": ("submitted", "received"),
    "closed": ("submitted", "received", "closed"),
    "cancelled": ("cancelled",),
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), list(values)).fetchone()
    assert found
    return found[0]


@pytest.fixture
def bought(app: Connection) -> dict[str, UUID]:
    """A draft that asks for 5 packs of 10 at 20 dollars each of a chilled item."""
    place = row(app, "rest.location", timezone="UTC")
    area = row(app, "rest.storage_area", location_id=place, storage_kind="walk_in")
    vendor = row(app, "rest.vendor", minimum_order_amount=50)
    item = row(app, "rest.inventory_item", storage_temp_class="chilled", reorder_mode="par")
    pack = row(
        app,
        "rest.vendor_item",
        vendor_id=vendor,
        inventory_item_id=item,
        stock_qty_per_pack=10,
        current_price=20,
        is_preferred=True,
    )
    order = row(app, "rest.purchase_order", vendor_id=vendor, location_id=place)
    line = row(
        app,
        "rest.purchase_order_line",
        purchase_order_id=order,
        vendor_item_id=pack,
        ordered_packs=5,
        pack_price=20,
    )
    return {
        "place": place,
        "area": area,
        "vendor": vendor,
        "item": item,
        "pack": pack,
        "order": order,
        "line": line,
    }


def submit(connection: Connection) -> None:
    connection.execute(
        "UPDATE rest.purchase_order SET state = 'submitted', ordered_at = '2026-05-01 10:00+00'"
    )


def receipt(connection: Connection, bought: dict[str, UUID], **given: Any) -> tuple[UUID, UUID]:
    made = row(
        connection,
        "rest.goods_receipt",
        vendor_id=bought["vendor"],
        location_id=bought["place"],
        purchase_order_id=bought["order"],
        truck_temp_c=given.pop("truck", 3),
    )
    columns = {"received_packs": 5, "accepted_packs": 5, "stock_qty": 50, **given}
    line = row(
        connection,
        "rest.goods_receipt_line",
        goods_receipt_id=made,
        inventory_item_id=bought["item"],
        purchase_order_line_id=bought["line"],
        unit_cost=2,
        **columns,
    )
    return made, line


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("vendor", {"delivery_weekday_mask": 0}, "weekday_mask_bounded"),
        ("vendor", {"delivery_weekday_mask": 128}, "weekday_mask_bounded"),
        ("vendor", {"rating_score": 6}, "rating_bounded"),
        ("vendor_item", {"stock_qty_per_pack": 0}, "stock_qty_per_pack_positive"),
        ("vendor_item", {"is_active": False, "is_preferred": True}, "preferred_is_active"),
        ("vendor_item_price", {"price": 0}, "price_positive"),
        ("goods_receipt_line", {"rejected_packs": 1}, "packs_add_up"),
        (
            "goods_receipt_line",
            {"product_temp_c": 9, "temp_limit_c": 5},
            "warm_is_rejected",
        ),
        (
            "goods_receipt_line",
            {"product_temp_c": 9, "temp_limit_c": 5, "discrepancy": "warm"},
            "warm_is_rejected",
        ),
        ("goods_receipt_line", {"stock_qty": 0}, "accepted_is_stock"),
        ("vendor_invoice", {"due_date": "2026-05-01"}, "due_after_its_date"),
        ("vendor_invoice", {"paid_on": "2026-05-09"}, "paid_was_approved"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


def test_one_pack_of_an_item_is_preferred(app: Connection, bought: dict[str, UUID]) -> None:
    with pytest.raises(errors.UniqueViolation, match="vendor_item_inventory_item_id_idx"):
        row(app, "rest.vendor_item", inventory_item_id=bought["item"], is_preferred=True)


def test_what_is_agreed_stands_before_the_market(app: Connection, bought: dict[str, UUID]) -> None:
    price = "SELECT rest.vendor_price(%s, 1, '2026-05-04')"
    assert one(app, price, bought["pack"]) == 20
    for kind, amount in (("market", 18), ("contract", 19), ("bid", 5)):
        row(
            app,
            "rest.vendor_item_price",
            vendor_item_id=bought["pack"],
            price_kind=kind,
            price=amount,
            effective_from="2026-05-01",
        )
    assert one(app, price, bought["pack"]) == 19


def test_an_order_adds_up(app: Connection, bought: dict[str, UUID]) -> None:
    app.execute("UPDATE rest.purchase_order SET freight_total = 7")
    assert one(app, "SELECT grand_total FROM rest.purchase_order") == 107
    app.execute("DELETE FROM rest.purchase_order_line")
    assert one(app, "SELECT grand_total FROM rest.purchase_order") == 7


def test_vendors_deliver_on_their_days(app: Connection) -> None:
    tuesdays = row(app, "rest.vendor", delivery_weekday_mask=2)
    with pytest.raises(errors.CheckViolation, match="does not deliver on a Monday"):
        row(
            app,
            "rest.purchase_order",
            vendor_id=tuesdays,
            requested_delivery_on="2026-05-04",
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("minimum_order_amount = 101", "delivers from 101"),
        ("status = 'on_hold'", "it is on_hold"),
        ("approved_until_on = '2026-04-30'", "until 2026-04-30"),
    ],
)
def test_orders_go_to_vendors_that_take_them(
    app: Connection, bought: dict[str, UUID], change: str, said: str
) -> None:
    app.execute(f"UPDATE rest.vendor SET {change}".encode())
    with pytest.raises(errors.CheckViolation, match=said):
        submit(app)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rest.purchase_order_line SET ordered_packs = 9",
        "UPDATE rest.purchase_order_line SET pack_price = 9",
        "DELETE FROM rest.purchase_order_line",
    ],
)
def test_what_was_ordered_stands(app: Connection, bought: dict[str, UUID], change: str) -> None:
    submit(app)
    with pytest.raises(errors.RestrictViolation, match="its lines stand"):
        app.execute(change.encode())


@pytest.mark.parametrize(("before", "after"), list(permutations(ORDER, 2)))
def test_states_of_an_order(
    app: Connection, bought: dict[str, UUID], before: str, after: str
) -> None:
    move = (
        "UPDATE rest.purchase_order SET state = %s, ordered_at = '2026-05-01',"
        " delivered_on = '2026-05-04'"
    )
    for state in ORDER_PATHS[before]:
        app.execute(move.encode(), [state])
    if after in ORDER[before]:
        app.execute(move.encode(), [after])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after])


def test_what_was_accepted_goes_on_the_shelves_once(
    app: Connection, bought: dict[str, UUID]
) -> None:
    submit(app)
    made, line = receipt(app, bought)
    assert one(app, "SELECT rest.receive_goods(%s)", made) == 1
    assert one(app, "SELECT on_hand_qty FROM rest.stock_level") == 50
    assert one(app, "SELECT source_id FROM rest.stock_movement") == line
    assert one(app, "SELECT state FROM rest.purchase_order") == "received"
    assert one(app, "SELECT state FROM rest.goods_receipt") == "accepted"
    assert one(app, "SELECT total_value FROM rest.goods_receipt") == 100
    with pytest.raises(errors.CheckViolation, match="it is received once"):
        app.execute("SELECT rest.receive_goods(%s)", [made])


def test_what_comes_short_leaves_the_order_open(app: Connection, bought: dict[str, UUID]) -> None:
    submit(app)
    made, _ = receipt(
        app, bought, received_packs=3, accepted_packs=3, stock_qty=30, discrepancy="short"
    )
    app.execute("SELECT rest.receive_goods(%s)", [made])
    assert one(app, "SELECT state FROM rest.purchase_order") == "partly_received"
    assert one(app, "SELECT state FROM rest.purchase_order_line") == "short"
    assert one(app, "SELECT state FROM rest.goods_receipt") == "accepted_with_issues"


def test_what_is_warm_goes_back(app: Connection, bought: dict[str, UUID]) -> None:
    submit(app)
    made, _ = receipt(
        app,
        bought,
        accepted_packs=0,
        rejected_packs=5,
        stock_qty=0,
        product_temp_c=9,
        temp_limit_c=5,
        discrepancy="warm",
    )
    assert one(app, "SELECT rest.receive_goods(%s)", made) == 0
    assert one(app, "SELECT state FROM rest.goods_receipt") == "rejected"
    assert one(app, "SELECT state FROM rest.purchase_order") == "submitted"


def test_a_cold_delivery_needs_the_temperature_of_the_truck(
    app: Connection, bought: dict[str, UUID]
) -> None:
    submit(app)
    made, _ = receipt(app, bought, truck=None)
    with pytest.raises(errors.CheckViolation, match="no temperature of the truck"):
        app.execute("SELECT rest.receive_goods(%s)", [made])


def test_what_was_signed_for_stands(app: Connection, bought: dict[str, UUID]) -> None:
    submit(app)
    made, _ = receipt(app, bought)
    app.execute("SELECT rest.receive_goods(%s)", [made])
    with pytest.raises(errors.RestrictViolation, match="its lines stand"):
        app.execute("DELETE FROM rest.goods_receipt_line")


@pytest.mark.parametrize(
    ("packs", "price", "state", "variance"),
    [
        (5, 20, "matched", 0),
        (5, 21, "price_variance", 5),
        (6, 20, "qty_variance", 20),
        (6, 21, "qty_variance", 26),
    ],
)
def test_an_invoice_is_matched_against_order_and_receipt(
    app: Connection,
    bought: dict[str, UUID],
    packs: int,
    price: int,
    state: str,
    variance: int,
) -> None:
    submit(app)
    made, line = receipt(app, bought)
    app.execute("SELECT rest.receive_goods(%s)", [made])
    invoice = row(app, "rest.vendor_invoice", goods_receipt_id=made)
    row(
        app,
        "rest.vendor_invoice_line",
        vendor_invoice_id=invoice,
        goods_receipt_line_id=line,
        billed_packs=packs,
        billed_price=price,
    )
    assert one(app, "SELECT rest.match_invoice(%s)", invoice) == state
    assert one(app, "SELECT variance_total FROM rest.vendor_invoice") == variance
    approve = "UPDATE rest.vendor_invoice SET match_state = 'approved'"
    if variance:
        with (
            app.transaction(force_rollback=True),
            pytest.raises(errors.CheckViolation, match="approved_agrees_or_is_reasoned"),
        ):
            app.execute(approve.encode())
        app.execute((approve + ", approval_reason = 'market'").encode())
    else:
        app.execute(approve.encode())
    with pytest.raises(errors.RestrictViolation, match="its lines stand"):
        app.execute("UPDATE rest.vendor_invoice_line SET billed_packs = 1")


def test_what_nobody_received_is_found(app: Connection) -> None:
    invoice = row(app, "rest.vendor_invoice")
    row(app, "rest.vendor_invoice_line", vendor_invoice_id=invoice, billed_packs=2, billed_price=3)
    assert one(app, "SELECT rest.match_invoice(%s)", invoice) == "qty_variance"
    assert one(app, "SELECT match_state FROM rest.vendor_invoice_line") == "not_received"
    assert one(app, "SELECT variance_total FROM rest.vendor_invoice") == 6


def test_what_is_short_is_suggested_less_what_is_on_its_way(
    app: Connection, bought: dict[str, UUID]
) -> None:
    row(
        app,
        "rest.stock_level",
        inventory_item_id=bought["item"],
        storage_area_id=bought["area"],
        par_qty=75,
    )
    short = "SELECT missing_qty, on_order_qty, suggested_packs FROM rest.v_stock_below_par"
    assert app.execute(short.encode()).fetchall() == [(75, 0, Decimal(8))]
    submit(app)
    assert app.execute(short.encode()).fetchall() == [(25, 50, Decimal(3))]
    app.execute("UPDATE rest.stock_level SET par_qty = 50")
    assert app.execute(short.encode()).fetchall() == []


def test_two_at_the_back_door_receive_a_delivery_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        place = row(connection, "rest.location", timezone="UTC")
        row(connection, "rest.storage_area", location_id=place)
        made = row(connection, "rest.goods_receipt", location_id=place, truck_temp_c=3)
        row(connection, "rest.goods_receipt_line", goods_receipt_id=made)

    def receive(_: int) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                connection.execute("SELECT rest.receive_goods(%s)", [made])
            except errors.CheckViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(receive, range(4))) == 1
