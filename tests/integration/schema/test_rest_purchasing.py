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
LINE = {
    "open": {"confirmed", "short", "received", "cancelled"},
    "confirmed": {"short", "received", "cancelled"},
    "short": {"received", "cancelled"},
    "received": set(),
    "cancelled": set(),
}
LINE_PATHS: dict[str, tuple[str, ...]] = {state: (state,) for state in LINE} | {"open": ()}
RECEIPT = {
    "checking": {"accepted", "accepted_with_issues", "rejected"},
    "accepted": set(),
    "accepted_with_issues": set(),
    "rejected": set(),
}
VENDOR = {
    "trial": {"approved", "on_hold", "ended"},
    "approved": {"on_hold", "ended"},
    "on_hold": {"approved", "ended"},
    "ended": set(),
}
MATCH = {
    "unmatched": {"matched", "price_variance", "qty_variance", "disputed"},
    "matched": {"price_variance", "qty_variance", "approved", "disputed"},
    "price_variance": {"matched", "qty_variance", "approved", "disputed"},
    "qty_variance": {"matched", "price_variance", "approved", "disputed"},
    "disputed": {"matched", "price_variance", "qty_variance", "approved"},
    "approved": set(),
}
MATCH_PATHS: dict[str, tuple[str, ...]] = {state: (state,) for state in MATCH} | {
    "unmatched": (),
    "approved": ("matched", "approved"),
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
        (
            "goods_receipt_line",
            {"received_packs": 2, "rejected_packs": 1},
            "rejected_has_reason",
        ),
        ("goods_receipt_line", {"catch_weight": 0}, "nothing_below_zero"),
        ("goods_receipt", {"carton_count": -1}, "not_negative"),
        ("vendor", {"gln": "123"}, "gln_is_13_digits"),
        ("vendor", {"lead_days": -1}, "terms_not_negative"),
        ("vendor_item", {"pack_count": 0}, "pack_holds_something"),
        ("vendor_item", {"current_price": -1}, "price_not_negative"),
        ("vendor_item", {"gtin": "12"}, "gtin_is_digits"),
        ("vendor_item_price", {"min_packs": 0}, "min_packs_positive"),
        ("vendor_item_price", {"effective_to": "2020-01-01"}, "ends_after_it_begins"),
        ("purchase_order", {"freight_total": -1}, "amounts_not_negative"),
        ("vendor_invoice", {"variance_limit": -1}, "limit_not_negative"),
        ("vendor_invoice", {"ocr_confidence": 2}, "confidence_bounded"),
        ("vendor_invoice_line", {"billed_packs": -1}, "billed_not_negative"),
        ("vendor_invoice", {"due_date": "2026-05-01"}, "due_after_its_date"),
        ("vendor_invoice", {"paid_on": "2026-05-09"}, "paid_was_approved"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"ordered_packs": 0}, "ordered_packs_positive"),
        ({"ordered_packs": 1, "backorder_packs": -1}, "nothing_below_zero"),
    ],
)
def test_an_order_line_that_cannot_be_is_refused(
    app: Connection, bought: dict[str, UUID], columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"purchase_order_line_{truth}"):
        row(
            app,
            "rest.purchase_order_line",
            purchase_order_id=bought["order"],
            vendor_item_id=bought["pack"],
            **columns,
        )


def test_nothing_replaces_itself(app: Connection, bought: dict[str, UUID]) -> None:
    with pytest.raises(errors.CheckViolation, match="not_for_itself"):
        app.execute("UPDATE rest.purchase_order_line SET substitute_for_item_id = vendor_item_id")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("state = 'submitted'", "submitted_has_time"),
        ("ordered_at = '2026-05-02', confirmed_at = '2026-05-01'", "confirmed_after_order"),
        ("state = 'received', ordered_at = '2026-05-01'", "received_has_day"),
    ],
)
def test_an_order_has_the_times_of_its_state(
    app: Connection, bought: dict[str, UUID], change: str, truth: str
) -> None:
    if "received" in change:
        submit(app)
    with pytest.raises(errors.CheckViolation, match=f"purchase_order_{truth}"):
        app.execute(f"UPDATE rest.purchase_order SET {change}".encode())


def test_a_price_of_a_pack_is_that_of_its_units(app: Connection, bought: dict[str, UUID]) -> None:
    assert one(app, "SELECT price_per_stock_unit FROM rest.vendor_item") == 2


def test_prices_of_a_kind_never_overlap(app: Connection, bought: dict[str, UUID]) -> None:
    def price(kind: str, begins: str, ends: str | None = None) -> None:
        row(
            app,
            "rest.vendor_item_price",
            vendor_item_id=bought["pack"],
            price_kind=kind,
            price=9,
            effective_from=begins,
            effective_to=ends,
        )

    price("contract", "2026-05-01", "2026-05-10")
    price("contract", "2026-05-11")
    price("market", "2026-05-05")
    with pytest.raises(errors.ExclusionViolation, match="one_a_day"):
        price("contract", "2026-05-10", "2026-05-10")


@pytest.mark.parametrize(
    ("packs", "day", "price"),
    [(1, "2026-05-04", 19), (10, "2026-05-04", 17), (10, "2026-06-01", 20)],
)
def test_more_packs_cost_less_while_it_is_agreed(
    app: Connection, bought: dict[str, UUID], packs: int, day: str, price: int
) -> None:
    for least, amount in ((1, 19), (10, 17)):
        row(
            app,
            "rest.vendor_item_price",
            vendor_item_id=bought["pack"],
            price_kind="contract",
            price=amount,
            min_packs=least,
            effective_from="2026-05-01",
            effective_to="2026-05-31",
        )
    found = one(app, "SELECT rest.vendor_price(%s, %s, %s::date)", bought["pack"], packs, day)
    assert found == price


def test_an_order_asks_for_what_its_vendor_sells(app: Connection, bought: dict[str, UUID]) -> None:
    with pytest.raises(errors.CheckViolation, match="a vendor that does not sell this"):
        row(
            app,
            "rest.purchase_order_line",
            purchase_order_id=bought["order"],
            ordered_packs=1,
        )


def test_a_receipt_is_of_the_order_that_it_answers(
    app: Connection, bought: dict[str, UUID]
) -> None:
    with pytest.raises(errors.CheckViolation, match="is not of the order"):
        row(app, "rest.goods_receipt_line", purchase_order_line_id=bought["line"])


@pytest.mark.parametrize(("before", "after"), list(permutations(VENDOR, 2)))
def test_states_of_a_vendor(app: Connection, before: str, after: str) -> None:
    row(app, "rest.vendor", status="trial")
    move = "UPDATE rest.vendor SET status = %s"
    app.execute(move.encode(), [before])
    if after in VENDOR[before]:
        app.execute(move.encode(), [after])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after])


@pytest.mark.parametrize(("before", "after"), list(permutations(LINE, 2)))
def test_states_of_an_order_line(
    app: Connection, bought: dict[str, UUID], before: str, after: str
) -> None:
    move = "UPDATE rest.purchase_order_line SET state = %s"
    for state in LINE_PATHS[before]:
        app.execute(move.encode(), [state])
    if after in LINE[before]:
        app.execute(move.encode(), [after])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after])


@pytest.mark.parametrize(("before", "after"), list(permutations(RECEIPT, 2)))
def test_states_of_a_receipt(app: Connection, before: str, after: str) -> None:
    row(app, "rest.goods_receipt")
    move = "UPDATE rest.goods_receipt SET state = %s"
    app.execute(move.encode(), [before])
    if after in RECEIPT[before]:
        app.execute(move.encode(), [after])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after])


@pytest.mark.parametrize(("before", "after"), list(permutations(MATCH, 2)))
def test_states_of_an_invoice(app: Connection, before: str, after: str) -> None:
    row(app, "rest.vendor_invoice")
    move = "UPDATE rest.vendor_invoice SET match_state = %s"
    for state in MATCH_PATHS[before]:
        app.execute(move.encode(), [state])
    if after in MATCH[before]:
        app.execute(move.encode(), [after])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after])


def test_a_cancelled_line_costs_nothing(app: Connection, bought: dict[str, UUID]) -> None:
    app.execute("UPDATE rest.purchase_order_line SET state = 'cancelled'")
    assert one(app, "SELECT subtotal FROM rest.purchase_order") == 0


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


def billed(connection: Connection, made: UUID, line: UUID, packs: int, **given: Any) -> str:
    """The state that an invoice of a delivery is matched to."""
    invoice = row(connection, "rest.vendor_invoice", goods_receipt_id=made, **given)
    row(
        connection,
        "rest.vendor_invoice_line",
        vendor_invoice_id=invoice,
        goods_receipt_line_id=line,
        billed_packs=packs,
        billed_price=20,
    )
    return str(one(connection, "SELECT rest.match_invoice(%s)", invoice))


def test_a_delivery_is_not_owed_twice(app: Connection, bought: dict[str, UUID]) -> None:
    submit(app)
    made, line = receipt(app, bought)
    app.execute("SELECT rest.receive_goods(%s)", [made])
    assert billed(app, made, line, 5) == "matched"
    assert billed(app, made, line, 5) == "qty_variance"
    assert one(app, "SELECT max(variance_total) FROM rest.vendor_invoice") == 100


def test_a_credit_is_for_what_was_billed_too_much(app: Connection, bought: dict[str, UUID]) -> None:
    submit(app)
    made, line = receipt(app, bought)
    app.execute("SELECT rest.receive_goods(%s)", [made])
    assert billed(app, made, line, 7) == "qty_variance"
    assert billed(app, made, line, 2, invoice_kind="credit_memo") == "matched"


def test_an_invoice_bills_a_line_once(app: Connection) -> None:
    invoice = row(app, "rest.vendor_invoice")
    line = row(app, "rest.goods_receipt_line")
    columns = {"vendor_invoice_id": invoice, "goods_receipt_line_id": line}
    row(app, "rest.vendor_invoice_line", **columns)
    with pytest.raises(errors.UniqueViolation, match="goods_receipt_line_idx"):
        row(app, "rest.vendor_invoice_line", **columns)


def test_what_is_sold_by_weight_is_owed_by_weight(app: Connection, bought: dict[str, UUID]) -> None:
    app.execute("UPDATE rest.vendor_item SET is_catch_weight = true")
    submit(app)
    made, line = receipt(app, bought, catch_weight=48.5, stock_qty=48.5)
    app.execute("SELECT rest.receive_goods(%s)", [made])
    invoice = row(app, "rest.vendor_invoice", goods_receipt_id=made)
    row(
        app,
        "rest.vendor_invoice_line",
        vendor_invoice_id=invoice,
        goods_receipt_line_id=line,
        vendor_item_id=bought["pack"],
        billed_packs=5,
        catch_weight=48.5,
        billed_price=2,
    )
    assert one(app, "SELECT rest.match_invoice(%s)", invoice) == "matched"
    assert one(app, "SELECT grand_total FROM rest.vendor_invoice") == 97


def test_what_is_approved_is_not_matched_again(app: Connection) -> None:
    invoice = row(app, "rest.vendor_invoice")
    for state in ("matched", "approved"):
        app.execute("UPDATE rest.vendor_invoice SET match_state = %s", [state])
    with pytest.raises(errors.CheckViolation, match="it is not matched"):
        app.execute("SELECT rest.match_invoice(%s)", [invoice])


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


def test_two_invoices_of_a_delivery_are_not_both_matched(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        line = row(connection, "rest.goods_receipt_line")
        invoices = [row(connection, "rest.vendor_invoice") for _ in range(2)]
        for invoice in invoices:
            row(
                connection,
                "rest.vendor_invoice_line",
                vendor_invoice_id=invoice,
                goods_receipt_line_id=line,
                billed_packs=1,
            )

    def match(invoice: UUID) -> str:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            return str(one(connection, "SELECT rest.match_invoice(%s)", invoice))

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(match, invoices)) == ["matched", "qty_variance"]
