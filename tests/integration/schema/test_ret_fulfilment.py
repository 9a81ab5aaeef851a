"""Stock is held once, orders find their locations, and what leaves is counted where it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_orders import add_line, one, state_of

FULFILMENT = {
    "scheduled": {"open", "on_hold", "rejected", "cancelled"},
    "open": {"on_hold", "in_progress", "picking", "rejected", "cancelled"},
    "on_hold": {"open", "rejected", "cancelled"},
    "in_progress": {"picking", "packed", "ready", "completed", "rejected", "cancelled"},
    "picking": {"open", "packed", "ready", "rejected", "cancelled"},
    "packed": {"ready", "completed", "cancelled"},
    "ready": {"completed", "cancelled"},
    "completed": set(),
    "rejected": set(),
    "cancelled": set(),
}
SHIPMENT = {
    "label_created": {"manifested", "in_transit", "exception", "lost"},
    "manifested": {"in_transit", "exception", "lost"},
    "in_transit": {"out_for_delivery", "delivered", "exception", "returned", "lost"},
    "out_for_delivery": {"in_transit", "delivered", "exception", "returned", "lost"},
    "exception": {"in_transit", "out_for_delivery", "delivered", "returned", "lost"},
    "delivered": set(),
    "returned": set(),
    "lost": {"delivered", "returned"},
}
PICKUP = {
    "preparing": {"ready", "returned_to_stock"},
    "ready": {"arrived", "collected", "expired", "returned_to_stock"},
    "arrived": {"ready", "collected"},
    "expired": {"ready", "returned_to_stock"},
    "collected": set(),
    "returned_to_stock": set(),
}
PICKING = {
    "open": {"assigned", "picking", "cancelled"},
    "assigned": {"open", "picking", "cancelled"},
    "picking": {"picked", "cancelled"},
    "picked": set(),
    "cancelled": set(),
}
LINE = {
    "open": {"picked", "short", "cancelled"},
    "picked": {"packed", "shipped", "short", "open", "cancelled"},
    "packed": {"shipped", "picked", "cancelled"},
    "short": {"cancelled"},
    "shipped": set(),
    "cancelled": set(),
}
REQUEST = {
    "unsubmitted": {"submitted", "accepted"},
    "submitted": {"accepted", "rejected", "unsubmitted"},
    "accepted": {"rejected"},
    "rejected": set(),
}
RESERVATION: dict[str, set[str]] = {
    "active": {"released", "expired", "fulfilled"},
    "released": set(),
    "expired": set(),
    "fulfilled": set(),
}


def path(machine: dict[str, set[str]], start: str, goal: str) -> list[str]:
    """The shortest way from one state to another."""
    ways = [[start]]
    for way in ways:
        if way[-1] == goal:
            return way[1:]
        ways += [[*way, n] for n in sorted(machine[way[-1]]) if n not in way]
    raise AssertionError(f"no way from {start} to {goal}")


def go_through(
    connection: Connection,
    machine: dict[str, set[str]],
    change: Callable[[str], str],
    before: str,
    after: str,
) -> None:
    for step in path(machine, next(iter(machine)), before):
        connection.execute(change(step).encode())
    if after in machine[before]:
        connection.execute(change(after).encode())
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            connection.execute(change(after).encode())


class Shop:
    """Two locations that ship for a channel, and a variant with stock."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel = row(connection, "ret.sales_channel", channel_kind="web")
        self.customer = row(connection, "ret.customer")
        self.near, self.far = (self.location(c) for c in "AB")
        self.variant = row(connection, "ret.product_variant")

    def location(self, code: str, **capability: Any) -> UUID:
        made = row(self.connection, "ret.location", location_code=code)
        for ability in ("ship_from", "pickup"):
            row(
                self.connection,
                "ret.fulfilment_capability",
                location_id=made,
                sales_channel_id=self.channel,
                capability=ability,
                **capability,
            )
        return made

    def stock(self, location: UUID, quantity: float, variant: UUID | None = None) -> None:
        self.connection.execute(
            "SELECT ret.post_stock_movement(%s, %s, 'receipt', 'none', 'available', %s,"
            " 'receipt', cost => 5)",
            [location, variant or self.variant, quantity],
        )

    def level(self, location: UUID, variant: UUID | None = None) -> tuple[int, ...]:
        """on hand, available, reserved for carts, committed to orders."""
        found = self.connection.execute(
            "SELECT on_hand_qty, available_qty, reserved_qty, committed_qty FROM ret.stock_level"
            " WHERE location_id = %s AND product_variant_id = %s",
            [location, variant or self.variant],
        ).fetchone()
        return tuple(map(int, found)) if found else (0, 0, 0, 0)

    def order(
        self, quantity: float = 1, variant: UUID | None = None, choice: str = "ship", **given: Any
    ) -> UUID:
        columns = {"sales_channel_id": self.channel, "state": "confirmed", **given}
        made = row(self.connection, "ret.sales_order", **columns)
        self.line(made, quantity, variant, choice)
        return made

    def line(
        self, order: UUID, quantity: float, variant: UUID | None = None, choice: str = "ship"
    ) -> UUID:
        return add_line(
            self.connection,
            order,
            quantity=quantity,
            product_variant_id=variant or self.variant,
            fulfilment_choice=choice,
        )

    def cart(self, **given: Any) -> UUID:
        return row(
            self.connection,
            "ret.cart",
            sales_channel_id=self.channel,
            customer_id=self.customer,
            **given,
        )

    def call(self, function: str, *values: Any) -> Any:
        places = ", ".join(["%s"] * len(values))
        return self.connection.execute(
            f"SELECT ret.{function}({places})".encode(), values
        ).fetchall()

    def held(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT location_id, reservation_kind, quantity::integer FROM ret.stock_reservation"
            " WHERE state = 'active' ORDER BY reservation_kind DESC, quantity DESC"
        ).fetchall()

    def fulfilment(self, quantity: float = 2) -> UUID:
        """An order that the near location is to ship."""
        self.stock(self.near, quantity)
        order = self.order(quantity)
        made: UUID = self.call("route_order", order)[0][0]
        return made

    def pick(self, short: int = 0) -> None:
        """Somebody walks and finds everything but a few pieces of the first stop."""
        self.connection.execute(
            "UPDATE ret.pick_list_line SET picked_qty = required_qty - short, short_qty = short,"
            " exception_kind = CASE WHEN short > 0 THEN 'not_found' ELSE 'none' END,"
            " picked_at = now()"
            " FROM (SELECT %s AS short) AS s",
            [short],
        )


@pytest.fixture
def shop(app: Connection) -> Shop:
    return Shop(app)


@pytest.fixture
def picker(app: Connection) -> UUID:
    return row(app, "user_mgmt.user_account")


@pytest.mark.parametrize(("before", "after"), list(permutations(FULFILMENT, 2)))
def test_a_fulfilment_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "ret.fulfilment_order")

    def change(state: str) -> str:
        return (
            f"UPDATE ret.fulfilment_order SET state = '{state}', ready_at = now(),"
            f" accepted_at = now(), routed_at = now(),"
            f" reject_reason = CASE '{state}' WHEN 'rejected' THEN 'no_stock' ELSE 'none' END,"
            f" completed_at = CASE '{state}' WHEN 'completed' THEN now() END"
        )

    go_through(app, FULFILMENT, change, before, after)


@pytest.mark.parametrize(("before", "after"), list(permutations(SHIPMENT, 2)))
def test_a_parcel_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "ret.shipment")

    def change(state: str) -> str:
        return (
            f"UPDATE ret.shipment SET state = '{state}', shipped_at = now(),"
            f" delivered_at = CASE '{state}' WHEN 'delivered' THEN now() END"
        )

    go_through(app, SHIPMENT, change, before, after)


@pytest.mark.parametrize(("before", "after"), list(permutations(PICKUP, 2)))
def test_a_pickup_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "ret.pickup_order")

    def change(state: str) -> str:
        return (
            f"UPDATE ret.pickup_order SET state = '{state}', ready_at = now(),"
            f" customer_arrived_at = now(),"
            f" handed_over_at = CASE '{state}' WHEN 'collected' THEN now() END"
        )

    go_through(app, PICKUP, change, before, after)


@pytest.mark.parametrize(("before", "after"), list(permutations(PICKING, 2)))
def test_a_pick_list_goes_through_its_states(
    app: Connection, picker: UUID, before: str, after: str
) -> None:
    row(app, "ret.pick_list", picker_user_id=picker)

    def change(state: str) -> str:
        return (
            f"UPDATE ret.pick_list SET state = '{state}', assigned_at = now(), started_at = now(),"
            f" completed_at = CASE '{state}' WHEN 'picked' THEN now() END"
        )

    go_through(app, PICKING, change, before, after)


@pytest.mark.parametrize(("before", "after"), list(permutations(LINE, 2)))
def test_a_fulfilment_line_goes_through_its_states(
    app: Connection, before: str, after: str
) -> None:
    row(app, "ret.fulfilment_order_line", quantity=1)
    go_through(
        app, LINE, lambda s: f"UPDATE ret.fulfilment_order_line SET state = '{s}'", before, after
    )


@pytest.mark.parametrize(("before", "after"), list(permutations(REQUEST, 2)))
def test_a_location_answers_a_request(app: Connection, before: str, after: str) -> None:
    row(app, "ret.fulfilment_order")
    go_through(
        app,
        REQUEST,
        lambda s: f"UPDATE ret.fulfilment_order SET request_state = '{s}'",
        before,
        after,
    )


@pytest.mark.parametrize(("before", "after"), list(permutations(RESERVATION, 2)))
def test_a_reservation_ends_once(app: Connection, shop: Shop, before: str, after: str) -> None:
    shop.stock(shop.near, 1)
    shop.call("reserve_stock", shop.order())

    def change(state: str) -> str:
        return (
            f"UPDATE ret.stock_reservation SET state = '{state}',"
            f" released_at = CASE WHEN '{state}' IN ('released', 'expired') THEN now() END,"
            f" fulfilled_at = CASE '{state}' WHEN 'fulfilled' THEN now() END"
        )

    go_through(app, RESERVATION, change, before, after)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("sourcing_rule", {"max_splits": 6}, "max_splits_bounded"),
        ("sourcing_rule", {"weight_no": -1}, "weight_no_not_negative"),
        ("sourcing_rule", {"max_distance_km": 0}, "distance_positive"),
        ("stock_reservation", {"quantity": 0}, "quantity_positive"),
        ("stock_reservation", {}, "for_cart_or_order"),
        ("fulfilment_order", {"reject_reason": "closed"}, "rejected_has_reason"),
        ("fulfilment_order", {"completed_at": "2099-01-01"}, "completed_has_time"),
        ("fulfilment_order_line", {"quantity": 0}, "quantity_positive"),
        ("fulfilment_order_line", {"picked_qty": 2}, "picked_qty_precedes_short_qty"),
        ("fulfilment_order_line", {"packed_qty": 1}, "packed_qty_in_order"),
        ("fulfilment_order_line", {"shipped_qty": 1}, "shipped_qty_in_order"),
        ("fulfilment_order_line", {"short_qty": 1}, "short_has_reason"),
        ("fulfilment_hold", {"hold_reason": "other"}, "other_is_explained"),
        ("fulfilment_hold", {"released_at": "2001-01-01"}, "released_at_follows_held_at"),
        ("pick_list", {"state": "assigned"}, "assigned_has_picker"),
        ("pick_list_line", {"picked_qty": 1}, "picked_or_short"),
        ("pick_list_line", {"short_qty": 1, "picked_at": "2026-01-01"}, "short_has_exception"),
        ("pickup_order", {"handed_over_at": "2026-01-01"}, "handed_over_has_time"),
        ("pickup_order", {"reminder_count": -1}, "counts_not_negative"),
        ("carrier_service", {"min_days": 3, "max_days": 2}, "max_days_follows_min_days"),
        ("carrier_service", {"tracking_url_pattern": "https://x"}, "pattern_has_number"),
        ("shipping_zone", {"country_codes": []}, "has_countries"),
        ("shipping_rate", {"price": -1}, "amounts_not_negative"),
        ("shipping_rate", {"min_value": 5, "max_value": 5}, "max_value_follows_min_value"),
        ("shipment", {"delivered_at": "2026-01-01"}, "delivered_has_time"),
        ("shipment", {"weight_g": 0}, "weight_positive"),
        ("shipment_line", {"quantity": 0}, "quantity_positive"),
        (
            "shipment_tracking_event",
            {"occurred_at": "2026-02-01", "received_at": "2026-01-01"},
            "received_at_follows_occurred_at",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    if table == "fulfilment_order_line":
        columns = {"quantity": 1, **columns}
    elif "quantity" in columns and table == "stock_reservation":
        columns["sales_order_line_id"] = row(app, "ret.sales_order_line")
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"ret.{table}", **columns)


def test_rates_of_one_zone_do_not_overlap(app: Connection) -> None:
    rate = {
        "shipping_zone_id": row(app, "ret.shipping_zone"),
        "carrier_service_id": row(app, "ret.carrier_service"),
        "rate_basis": "weight",
        "min_value": 0,
        "max_value": 1000,
    }
    row(app, "ret.shipping_rate", **rate)
    row(app, "ret.shipping_rate", **{**rate, "min_value": 1000, "max_value": None})
    with pytest.raises(errors.ExclusionViolation, match="shipping_rate_no_overlap"):
        row(app, "ret.shipping_rate", **{**rate, "min_value": 900})


class TestPromise:
    """What may be promised is what is there and nobody holds, less the buffer of the channel."""

    def promised(self, shop: Shop, variant: UUID | None = None, **given: Any) -> dict[UUID, int]:
        extra = "".join(f", {name} => %({name})s" for name in given)
        found = shop.connection.execute(
            f"SELECT location_id, atp_qty FROM ret.available_to_promise("
            f"%(variant)s, %(channel)s{extra})".encode(),
            {"variant": variant or shop.variant, "channel": shop.channel, **given},
        ).fetchall()
        return {place: int(quantity) for place, quantity in found}

    def test_each_location_promises_what_it_has(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        shop.stock(shop.far, 3)
        assert self.promised(shop) == {shop.near: 5, shop.far: 3}
        assert self.promised(shop, locations=[shop.far]) == {shop.far: 3}

    def test_what_is_held_is_not_promised_again(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        shop.call("reserve_stock", shop.order(2))
        assert self.promised(shop) == {shop.near: 3}

    def test_the_buffer_of_the_channel_stays(self, shop: Shop) -> None:
        place = shop.location("C", safety_buffer_qty=2)
        shop.stock(place, 5)
        assert self.promised(shop) == {place: 3}

    def test_who_does_not_fulfil_for_the_channel_promises_nothing(self, shop: Shop) -> None:
        shop.stock(row(shop.connection, "ret.location"), 5)
        assert self.promised(shop) == {}

    def test_a_bundle_goes_by_its_scarcest_component(self, shop: Shop) -> None:
        bundle, other = (row(shop.connection, "ret.product_variant") for _ in range(2))
        add_components(shop.connection, bundle, {shop.variant: 2, other: 1})
        shop.stock(shop.near, 5)
        shop.stock(shop.near, 9, other)
        shop.stock(shop.far, 9)
        assert self.promised(shop, bundle) == {shop.near: 2}

    def test_what_arrives_in_time_is_promised_for_then(self, shop: Shop) -> None:
        transfer = row(
            shop.connection,
            "ret.stock_transfer",
            from_location_id=shop.far,
            to_location_id=shop.near,
            state="draft",
        )
        row(
            shop.connection,
            "ret.stock_transfer_line",
            stock_transfer_id=transfer,
            product_variant_id=shop.variant,
            requested_qty=4,
        )
        shop.stock(shop.far, 4)
        for state in ("requested", "approved", "picking", "in_transit"):
            if state == "in_transit":
                shop.connection.execute("UPDATE ret.stock_transfer_line SET shipped_qty = 4")
            shop.connection.execute(
                "UPDATE ret.stock_transfer SET state = %s,"
                " shipped_at = CASE WHEN %s = 'in_transit' THEN now() END,"
                " requested_at = now() - interval '1 hour',"
                " expected_at = now() + interval '2 days'",
                [state, state],
            )
        assert self.promised(shop) == {}
        later = one(shop.connection, "SELECT now() + interval '3 days'")
        assert self.promised(shop, moment=later) == {shop.near: 4}
        shop.call("reserve_stock", shop.order(3))
        assert self.promised(shop, moment=later) == {shop.near: 1}

    def test_what_a_supplier_promised_is_promised_for_then(self, shop: Shop) -> None:
        buyer, chief = (row(shop.connection, "user_mgmt.user_account") for _ in range(2))
        order = row(
            shop.connection,
            "ret.purchase_order",
            location_id=shop.near,
            buyer_user_id=buyer,
            supplier_id=(supplier := row(shop.connection, "ret.supplier")),
        )
        row(
            shop.connection,
            "ret.purchase_order_line",
            purchase_order_id=order,
            supplier_product_id=row(
                shop.connection,
                "ret.supplier_product",
                product_variant_id=shop.variant,
                supplier_id=supplier,
            ),
            ordered_qty=6,
            promised_on=one(shop.connection, "SELECT current_date + 2"),
        )
        later = one(shop.connection, "SELECT now() + interval '4 days'")
        assert self.promised(shop, moment=later) == {}
        shop.connection.execute("UPDATE ret.supplier SET status = 'active'")
        for state in ("pending_approval", "sent"):
            shop.connection.execute(
                "UPDATE ret.purchase_order SET state = %s, approved_by_user_id = %s,"
                " ordered_at = now()",
                [state, chief],
            )
        assert self.promised(shop) == {}
        assert self.promised(shop, moment=later) == {shop.near: 6}


def add_components(connection: Connection, bundle: UUID, parts: dict[UUID, int]) -> None:
    product = one(
        connection,
        "SELECT product_id FROM ret.product_variant WHERE product_variant_id = %s",
        bundle,
    )
    connection.execute(
        "UPDATE ret.product SET product_kind = 'bundle' WHERE product_id = %s", [product]
    )
    for place, (part, quantity) in enumerate(parts.items()):
        row(
            connection,
            "ret.bundle_component",
            bundle_variant_id=bundle,
            component_variant_id=part,
            quantity=quantity,
            sort_order=place,
        )


class TestHold:
    """A cart holds stock for a while; an order until it leaves."""

    def test_a_cart_holds_what_is_put_into_it(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        cart = shop.cart()
        shop.call("add_to_cart", cart, shop.variant, 2)
        shop.call("add_to_cart", cart, shop.variant, 1)
        assert shop.level(shop.near) == (5, 2, 3, 0)
        assert one(shop.connection, "SELECT quantity, unit_price FROM ret.cart_line") == (3, 10)
        assert one(shop.connection, "SELECT grand_total FROM ret.cart") == 30

    def test_of_two_lines_of_the_same_the_first_takes_more(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        cart = shop.cart()
        shop.call("add_to_cart", cart, shop.variant, 1)
        shop.connection.execute(
            "INSERT INTO ret.cart_line (business_id, cart_id, product_variant_id, line_number,"
            " quantity, unit_price, fulfilment_choice) SELECT business_id, cart_id,"
            " product_variant_id, 2, 1, unit_price, fulfilment_choice FROM ret.cart_line"
        )
        shop.call("add_to_cart", cart, shop.variant, 2)
        lines = "SELECT line_number, quantity FROM ret.cart_line ORDER BY line_number"
        assert shop.connection.execute(lines).fetchall() == [(1, 3), (2, 1)]

    def test_a_cart_holds_no_more_than_there_is(self, shop: Shop) -> None:
        shop.stock(shop.near, 1)
        with pytest.raises(errors.CheckViolation, match="no location has 2"):
            shop.call("add_to_cart", shop.cart(), shop.variant, 2)

    def test_a_cart_that_was_left_is_filled_on(self, shop: Shop) -> None:
        shop.stock(shop.near, 1)
        cart = shop.cart()
        shop.connection.execute("UPDATE ret.cart SET state = 'abandoned', abandoned_at = now()")
        shop.call("add_to_cart", cart, shop.variant, 1)
        assert one(shop.connection, "SELECT state, abandoned_at FROM ret.cart") == ("active", None)

    def test_a_bundle_holds_its_components(self, shop: Shop) -> None:
        bundle = row(shop.connection, "ret.product_variant")
        add_components(shop.connection, bundle, {shop.variant: 2})
        shop.stock(shop.near, 5)
        shop.call("add_to_cart", shop.cart(), bundle, 2)
        assert shop.level(shop.near) == (5, 1, 4, 0)

    def test_what_is_not_bought_in_time_is_given_back(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        cart = shop.cart()
        shop.call("add_to_cart", cart, shop.variant, 2)
        assert shop.call("release_expired_reservations") == [(0,)]
        later = one(shop.connection, "SELECT now() + interval '15 minutes'")
        assert shop.call("release_expired_reservations", later) == [(1,)]
        assert shop.level(shop.near) == (5, 5, 0, 0)
        assert shop.call("release_expired_reservations", later) == [(0,)]

    def test_only_so_many_are_given_back_at_once(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        for _ in range(3):
            shop.call("add_to_cart", shop.cart(), shop.variant, 1)
        later = one(shop.connection, "SELECT now() + interval '1 day'")
        assert shop.call("release_expired_reservations", later, 2) == [(2,)]

    def test_a_reservation_only_shrinks(self, shop: Shop) -> None:
        shop.stock(shop.near, 5)
        shop.call("reserve_stock", shop.order(3))
        shop.connection.execute("UPDATE ret.stock_reservation SET quantity = 2")
        assert shop.level(shop.near) == (5, 3, 0, 2)
        with pytest.raises(errors.CheckViolation, match="only shrinks"):
            shop.connection.execute("UPDATE ret.stock_reservation SET quantity = 3")

    def test_nothing_is_held_that_is_not_there(self, shop: Shop) -> None:
        shop.stock(shop.near, 1)
        line = shop.line(shop.order(), 2)
        with pytest.raises(errors.CheckViolation, match="short of"):
            row(
                shop.connection,
                "ret.stock_reservation",
                location_id=shop.near,
                product_variant_id=shop.variant,
                sales_order_line_id=line,
                quantity=2,
                reservation_kind="hard",
            )

    def test_a_soft_hold_expires(self, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="soft_expires"):
            row(
                shop.connection,
                "ret.stock_reservation",
                cart_line_id=row(shop.connection, "ret.cart_line"),
                reservation_kind="soft",
            )

    @pytest.mark.parametrize(
        ("before", "after"),
        [("backorder", "hard"), ("preorder", "hard"), ("preorder", "backorder")],
    )
    def test_what_waits_is_held_when_it_comes(self, shop: Shop, before: str, after: str) -> None:
        row(
            shop.connection,
            "ret.stock_reservation",
            location_id=shop.near,
            product_variant_id=shop.variant,
            sales_order_line_id=shop.line(shop.order(), 1),
            reservation_kind=before,
        )
        shop.stock(shop.near, 1)
        shop.connection.execute("UPDATE ret.stock_reservation SET reservation_kind = %s", [after])
        assert shop.level(shop.near) == ((1, 0, 0, 1) if after == "hard" else (1, 1, 0, 0))

    def test_what_is_held_waits_no_more(self, shop: Shop) -> None:
        shop.stock(shop.near, 1)
        shop.call("reserve_stock", shop.order())
        with pytest.raises(errors.CheckViolation, match=r"hard.*backorder"):
            shop.connection.execute(
                "UPDATE ret.stock_reservation SET reservation_kind = 'backorder'"
            )


class TestReserve:
    """An order takes what its cart held and the rest from as few locations as may be."""

    def test_what_the_cart_held_becomes_the_orders(self, shop: Shop) -> None:
        shop.stock(shop.near, 2)
        shop.stock(shop.far, 9)
        cart = shop.cart()
        line = shop.call("add_to_cart", cart, shop.variant, 1)[0][0]
        shop.call("hold_cart_line", line, timedelta(minutes=5), shop.near)
        order = row(shop.connection, "ret.sales_order", cart_id=cart)
        number = one(shop.connection, "SELECT line_number FROM ret.cart_line")
        add_line(shop.connection, order, line_number=number, product_variant_id=shop.variant)
        shop.call("reserve_stock", order)
        assert shop.held() == [(shop.near, "hard", 1)]
        assert shop.level(shop.near) == (2, 1, 0, 1)

    def test_the_rest_is_backordered(self, shop: Shop) -> None:
        shop.stock(shop.near, 2)
        order = shop.order(5)
        shop.call("reserve_stock", order)
        assert shop.held() == [(shop.near, "hard", 2), (shop.near, "backorder", 3)]
        assert shop.level(shop.near) == (2, 0, 0, 2)
        assert shop.call("reserve_stock", order) == []

    def test_one_location_with_all_goes_before_two(self, shop: Shop) -> None:
        other = row(shop.connection, "ret.product_variant")
        shop.stock(shop.near, 9)
        shop.stock(shop.far, 1)
        shop.stock(shop.far, 1, other)
        order = shop.order()
        shop.line(order, 1, other)
        shop.call("reserve_stock", order)
        assert {place for place, _, _ in shop.held()} == {shop.far}

    def test_an_order_is_split_no_further_than_its_rule_says(self, shop: Shop) -> None:
        row(shop.connection, "ret.sourcing_rule", max_splits=1)
        shop.stock(shop.near, 2)
        shop.stock(shop.far, 3)
        shop.call("reserve_stock", shop.order(5))
        assert [(p, k) for p, k, _ in shop.held()] == [
            (shop.far, "hard"),
            (shop.near, "backorder"),
        ]

    @pytest.mark.parametrize(
        ("strategy", "kind"), [("warehouse_first", "warehouse"), ("store_first", "store")]
    )
    def test_of_equals_the_rule_prefers(self, shop: Shop, strategy: str, kind: str) -> None:
        row(shop.connection, "ret.sourcing_rule", strategy=strategy)
        shop.connection.execute(
            "UPDATE ret.location SET location_kind = CASE location_code WHEN 'A' THEN %s"
            " ELSE %s END",
            ["store" if kind == "warehouse" else "warehouse", kind],
        )
        shop.stock(shop.near, 5)
        shop.stock(shop.far, 5)
        shop.call("reserve_stock", shop.order())
        assert shop.held() == [(shop.far, "hard", 1)]

    def test_what_a_rule_keeps_on_the_shelf_stays(self, shop: Shop) -> None:
        row(shop.connection, "ret.sourcing_rule", min_safety_qty=4)
        shop.stock(shop.near, 5)
        shop.call("reserve_stock", shop.order(3))
        assert shop.held() == [(shop.near, "backorder", 2), (shop.near, "hard", 1)][::-1]

    def test_a_rule_that_excludes_the_region_is_passed_over(self, shop: Shop) -> None:
        row(
            shop.connection,
            "ret.sourcing_rule",
            rule_name="not there",
            excluded_regions_doc=json.dumps(["AK"]),
            priority_no=1,
        )
        row(shop.connection, "ret.sourcing_rule", rule_name="anywhere", priority_no=2)
        order = shop.order()
        row(
            shop.connection,
            "ret.order_address",
            sales_order_id=order,
            address_role="shipping",
            region_code="AK",
        )
        rule = one(shop.connection, "SELECT (ret.sourcing_rule_of(%s)).rule_name", order)
        assert rule == "anywhere"

    def test_a_location_that_is_full_is_passed_over(self, shop: Shop) -> None:
        shop.connection.execute(
            "UPDATE ret.fulfilment_capability SET daily_capacity = 1, booked_today = 1"
            " WHERE location_id = %s",
            [shop.near],
        )
        shop.stock(shop.near, 5)
        shop.stock(shop.far, 5)
        shop.call("reserve_stock", shop.order())
        assert shop.held() == [(shop.far, "hard", 1)]

    def test_what_is_fetched_comes_from_where_it_is_fetched(self, shop: Shop) -> None:
        shop.stock(shop.near, 9)
        shop.stock(shop.far, 1)
        order = shop.order(2, choice="pickup", sold_location_id=shop.far)
        shop.call("reserve_stock", order)
        assert shop.held() == [(shop.far, "hard", 1), (shop.far, "backorder", 1)]

    def test_a_cancelled_order_needs_no_stock(self, shop: Shop) -> None:
        order = shop.order()
        shop.connection.execute("UPDATE ret.sales_order SET state = 'cancelled'")
        with pytest.raises(errors.CheckViolation, match="it needs no stock"):
            shop.call("reserve_stock", order)


class TestRoute:
    """Each location gets its part of the order."""

    def test_each_location_gets_its_part(self, shop: Shop) -> None:
        shop.stock(shop.near, 2)
        shop.stock(shop.far, 1)
        order = shop.order(3)
        assert len(shop.call("route_order", order)) == 2
        found = shop.connection.execute(
            "SELECT f.location_id, f.state, l.quantity FROM ret.fulfilment_order AS f"
            " JOIN ret.fulfilment_order_line AS l USING (business_id, fulfilment_order_id)"
            " ORDER BY l.quantity DESC"
        ).fetchall()
        assert found == [(shop.near, "open", 2), (shop.far, "open", 1)]
        assert shop.call("route_order", order) == []

    def test_what_waits_for_stock_is_scheduled(self, shop: Shop) -> None:
        shop.stock(shop.near, 2)
        shop.call("route_order", shop.order(3))
        found = shop.connection.execute(
            "SELECT state FROM ret.fulfilment_order ORDER BY state"
        ).fetchall()
        assert found == [("open",), ("scheduled",)]

    def test_it_takes_from_the_capacity_and_frees_it(self, shop: Shop) -> None:
        shop.fulfilment()
        booked = (
            "SELECT booked_today FROM ret.fulfilment_capability"
            " WHERE location_id = %s AND capability = 'ship_from'"
        )
        assert one(shop.connection, booked, shop.near) == 1
        shop.connection.execute("UPDATE ret.fulfilment_order SET state = 'cancelled'")
        assert one(shop.connection, booked, shop.near) == 0

    def test_what_a_location_turns_down_goes_to_another(self, shop: Shop) -> None:
        shop.fulfilment()
        shop.stock(shop.far, 2)
        shop.connection.execute(
            "UPDATE ret.fulfilment_order SET state = 'rejected', reject_reason = 'too_busy'"
        )
        found = shop.connection.execute(
            "SELECT location_id, reroute_count FROM ret.fulfilment_order WHERE state = 'open'"
        ).fetchall()
        assert found == [(shop.far, 1)]
        assert shop.level(shop.near)[1:] == (2, 0, 0)
        assert shop.level(shop.far)[1:] == (0, 0, 2)

    def test_the_trail_tells_how_the_parts_went(self, shop: Shop) -> None:
        shop.fulfilment()
        shop.connection.execute("UPDATE ret.fulfilment_order SET state = 'cancelled'")
        found = shop.connection.execute(
            "SELECT from_state, to_state FROM ret.order_status_event WHERE aspect = 'fulfilment'"
            " ORDER BY occurred_at"
        ).fetchall()
        assert found == [(None, "open"), ("open", "cancelled")]

    def test_a_cancelled_order_gives_everything_back(self, shop: Shop) -> None:
        shop.fulfilment()
        shop.connection.execute("UPDATE ret.sales_order SET state = 'cancelled'")
        assert shop.level(shop.near) == (2, 2, 0, 0)
        assert one(shop.connection, "SELECT state FROM ret.fulfilment_order") == "cancelled"
        assert one(shop.connection, "SELECT cancelled_qty FROM ret.sales_order_line") == 2

    def test_a_hold_stops_it_until_the_last_is_released(self, shop: Shop) -> None:
        made = shop.fulfilment()
        for reason in ("high_risk", "incorrect_address"):
            row(
                shop.connection,
                "ret.fulfilment_hold",
                fulfilment_order_id=made,
                hold_reason=reason,
            )
        state = "SELECT state FROM ret.fulfilment_order"
        release = (
            "UPDATE ret.fulfilment_hold SET released_at = now(), held_at = now()"
            " WHERE hold_reason = %s"
        )
        assert one(shop.connection, state) == "on_hold"
        shop.connection.execute(release.encode(), ["high_risk"])
        assert one(shop.connection, state) == "on_hold"
        with (
            pytest.raises(errors.CheckViolation, match="is held"),
            shop.connection.transaction(),
        ):
            shop.connection.execute("UPDATE ret.fulfilment_order SET state = 'open'")
        shop.connection.execute(release.encode(), ["incorrect_address"])
        assert one(shop.connection, state) == "open"

    def test_one_hold_a_reason(self, shop: Shop) -> None:
        hold = {"fulfilment_order_id": shop.fulfilment(), "hold_reason": "high_risk"}
        row(shop.connection, "ret.fulfilment_hold", **hold)
        with pytest.raises(errors.UniqueViolation, match="fulfilment_hold_open"):
            row(shop.connection, "ret.fulfilment_hold", **hold)


class TestPick:
    """Pickers get different orders; what they find leaves, what they miss is called off."""

    def test_a_picker_gets_the_next_order(self, shop: Shop, picker: UUID) -> None:
        shop.fulfilment()
        assert shop.call("claim_pick_list", shop.far, picker) == [(None,)]
        assert shop.call("claim_pick_list", shop.near, picker) != [(None,)]
        assert one(shop.connection, "SELECT state FROM ret.fulfilment_order") == "picking"
        assert one(shop.connection, "SELECT state FROM ret.sales_order") == "processing"
        found = one(shop.connection, "SELECT state, line_count, unit_count FROM ret.pick_list")
        assert found == ("picking", 1, 2)
        assert shop.call("claim_pick_list", shop.near, picker) == [(None,)]

    def test_the_most_urgent_is_picked_first(self, shop: Shop, picker: UUID) -> None:
        shop.fulfilment()
        urgent = shop.fulfilment()
        shop.connection.execute(
            "UPDATE ret.fulfilment_order SET priority_no = 1 WHERE fulfilment_order_id = %s",
            [urgent],
        )
        shop.call("claim_pick_list", shop.near, picker)
        found = one(
            shop.connection,
            "SELECT fulfilment_order_id FROM ret.fulfilment_order WHERE state = 'picking'",
        )
        assert found == urgent

    @pytest.mark.parametrize(("short", "state", "left"), [(0, "shipped", 0), (1, "shipped", 1)])
    def test_what_is_shipped_leaves_the_stock(
        self, shop: Shop, picker: UUID, short: int, state: str, left: int
    ) -> None:
        made = shop.fulfilment()
        shop.call("claim_pick_list", shop.near, picker)
        shop.pick(short)
        assert one(shop.connection, "SELECT state, short_count FROM ret.pick_list") == (
            "picked",
            short,
        )
        assert shop.call("pack_fulfilment", made) == [("packed",)]
        shop.call("ship_fulfilment", made, row(shop.connection, "ret.carrier_service"), "1Z9")
        assert one(shop.connection, "SELECT state FROM ret.fulfilment_order_line") == state
        assert one(shop.connection, "SELECT state FROM ret.fulfilment_order") == "completed"
        assert one(shop.connection, "SELECT quantity FROM ret.shipment_line") == 2 - short
        assert shop.level(shop.near) == (left, left, 0, 0)
        assert one(
            shop.connection, "SELECT fulfilled_qty, cancelled_qty FROM ret.sales_order_line"
        ) == (2 - short, short)
        assert one(shop.connection, "SELECT state FROM ret.sales_order") == "fulfilled"

    def test_where_nothing_is_found_nothing_leaves(self, shop: Shop, picker: UUID) -> None:
        made = shop.fulfilment()
        shop.call("claim_pick_list", shop.near, picker)
        shop.pick(2)
        assert shop.call("pack_fulfilment", made) == [("cancelled",)]
        assert shop.level(shop.near) == (2, 2, 0, 0)

    def test_what_is_not_picked_is_not_packed(self, shop: Shop, picker: UUID) -> None:
        made = shop.fulfilment()
        shop.call("claim_pick_list", shop.near, picker)
        with pytest.raises(errors.CheckViolation, match="not every line is picked"):
            shop.call("pack_fulfilment", made)

    def test_what_is_not_packed_is_not_shipped(self, shop: Shop) -> None:
        made = shop.fulfilment()
        with pytest.raises(errors.CheckViolation, match="is open, not packed"):
            shop.call("ship_fulfilment", made, row(shop.connection, "ret.carrier_service"))

    def test_a_parcel_holds_what_was_packed(self, shop: Shop) -> None:
        made = shop.fulfilment()
        line = one(
            shop.connection, "SELECT fulfilment_order_line_id FROM ret.fulfilment_order_line"
        )
        parcel = row(shop.connection, "ret.shipment", fulfilment_order_id=made)
        with pytest.raises(errors.CheckViolation, match="were packed"):
            row(
                shop.connection,
                "ret.shipment_line",
                shipment_id=parcel,
                fulfilment_order_line_id=line,
            )

    def test_a_parcel_holds_lines_of_its_fulfilment(self, shop: Shop) -> None:
        shop.fulfilment()
        line = one(
            shop.connection, "SELECT fulfilment_order_line_id FROM ret.fulfilment_order_line"
        )
        with pytest.raises(errors.CheckViolation, match="of another fulfilment"):
            row(
                shop.connection,
                "ret.shipment_line",
                shipment_id=row(shop.connection, "ret.shipment"),
                fulfilment_order_line_id=line,
            )

    def test_what_left_does_not_come_back_this_way(self, shop: Shop, picker: UUID) -> None:
        made = shop.fulfilment()
        shop.call("claim_pick_list", shop.near, picker)
        shop.pick()
        shop.call("pack_fulfilment", made)
        shop.call("leave_location", made)
        with pytest.raises(errors.CheckViolation, match="does not come back this way"):
            shop.connection.execute("UPDATE ret.fulfilment_order_line SET shipped_qty = 1")

    def test_what_was_not_reserved_does_not_leave(self, shop: Shop) -> None:
        shop.fulfilment()
        shop.connection.execute(
            "UPDATE ret.stock_reservation SET state = 'released', released_at = now()"
        )
        with pytest.raises(errors.CheckViolation, match="was not reserved here"):
            shop.connection.execute(
                "UPDATE ret.fulfilment_order_line SET picked_qty = 2, packed_qty = 2,"
                " shipped_qty = 2"
            )


class TestPickup:
    """Whoever shows the code gets it, once."""

    @pytest.fixture
    def code(self, shop: Shop, picker: UUID) -> str:
        """Of a pickup that is ready at the near store."""
        shop.stock(shop.near, 2)
        order = shop.order(2, choice="pickup", sold_location_id=shop.near)
        made = shop.call("route_order", order)[0][0]
        shop.call("claim_pick_list", shop.near, picker)
        shop.pick()
        assert shop.call("pack_fulfilment", made) == [("ready",)]
        found: str = one(shop.connection, "SELECT pickup_code FROM ret.pickup_order")
        return found

    def test_it_is_handed_over_once(self, shop: Shop, code: str) -> None:
        shop.call("hand_over_pickup", code, shop.near, "Kim")
        assert one(shop.connection, "SELECT state, collector_name FROM ret.pickup_order") == (
            "collected",
            "Kim",
        )
        assert shop.level(shop.near) == (0, 0, 0, 0)
        assert one(shop.connection, "SELECT state FROM ret.sales_order") == "fulfilled"
        with pytest.raises(errors.NoDataFound, match="nothing waits here"):
            shop.call("hand_over_pickup", code, shop.near)

    def test_it_is_not_handed_over_elsewhere(self, shop: Shop, code: str) -> None:
        with pytest.raises(errors.NoDataFound, match="nothing waits here"):
            shop.call("hand_over_pickup", code, shop.far)

    def test_the_board_shows_what_waits(self, shop: Shop, code: str) -> None:
        shop.connection.execute(
            "UPDATE ret.pickup_order SET state = 'arrived', customer_arrived_at = now()"
        )
        found = one(
            shop.connection,
            "SELECT location_id, pickup_code, state, waiting_minutes FROM ret.v_pickup_board",
        )
        assert found == (shop.near, code, "arrived", 0)
        shop.call("hand_over_pickup", code, shop.near)
        assert shop.connection.execute("SELECT FROM ret.v_pickup_board").fetchall() == []

    def test_two_that_wait_have_different_codes(self, shop: Shop, code: str) -> None:
        other = row(shop.connection, "ret.pickup_order", pickup_code=code)
        with pytest.raises(errors.UniqueViolation, match="pickup_code"):
            shop.connection.execute(
                "UPDATE ret.pickup_order SET state = 'ready', ready_at = now()"
                " WHERE pickup_order_id = %s",
                [other],
            )


class TestParcel:
    """A parcel is where the carrier saw it last."""

    def scan(self, connection: Connection, parcel: UUID, status: str, hour: int) -> None:
        row(
            connection,
            "ret.shipment_tracking_event",
            shipment_id=parcel,
            status=status,
            occurred_at=f"2026-05-04 {hour:02}:00+00",
        )

    def test_scans_move_it_along(self, app: Connection) -> None:
        parcel = row(app, "ret.shipment")
        found = []
        for hour, status in enumerate(
            ["pre_transit", "in_transit", "out_for_delivery", "failed_attempt", "delivered"], 8
        ):
            self.scan(app, parcel, status, hour)
            found.append(one(app, "SELECT state FROM ret.shipment"))
        assert found == ["manifested", "in_transit", "out_for_delivery", "exception", "delivered"]
        assert one(
            app, "SELECT delivery_attempts, delivered_at = '2026-05-04 12:00+00' FROM ret.shipment"
        ) == (2, True)

    def test_a_late_scan_changes_nothing(self, app: Connection) -> None:
        parcel = row(app, "ret.shipment")
        self.scan(app, parcel, "out_for_delivery", 10)
        self.scan(app, parcel, "in_transit", 9)
        assert one(app, "SELECT state FROM ret.shipment") == "out_for_delivery"
        self.scan(app, parcel, "delivered", 11)
        self.scan(app, parcel, "exception", 12)
        assert one(app, "SELECT state FROM ret.shipment") == "delivered"

    def test_scans_stand(self, app: Connection) -> None:
        self.scan(app, row(app, "ret.shipment"), "in_transit", 9)
        with pytest.raises(psycopg.Error, match="permission denied"):
            app.execute("UPDATE ret.shipment_tracking_event SET status = 'delivered'")


class TestCheckout:
    """A cart becomes an order once, at the prices of the moment."""

    @pytest.fixture
    def cart(self, shop: Shop) -> UUID:
        """Two pieces at 10, held, for a customer in Wisconsin."""
        row(
            shop.connection,
            "ret.customer_address",
            customer_id=shop.customer,
            recipient_name="Kim",
            line_1="1 Oak Street",
            city="Milwaukee",
            region_code="WI",
            postal_code="53202",
            country_code="US",
            is_default_shipping=True,
        )
        shop.stock(shop.near, 5)
        cart = shop.cart(shipping_total=5)
        shop.call("add_to_cart", cart, shop.variant, 2)
        return cart

    def test_it_becomes_an_order(self, shop: Shop, cart: UUID) -> None:
        [(order,)] = shop.call("place_order", cart, "key 1")
        found = one(
            shop.connection,
            "SELECT order_kind, subtotal, grand_total, cart_id, customer_id FROM ret.sales_order",
        )
        assert found == ("ship_to_home", 20, 25, cart, shop.customer)
        assert one(shop.connection, "SELECT state FROM ret.cart") == "converted"
        assert one(shop.connection, "SELECT city FROM ret.order_address") == "Milwaukee"
        assert shop.held() == [(shop.near, "hard", 2)]
        assert shop.level(shop.near) == (5, 3, 0, 2)
        assert state_of(shop.connection, order) == "pending"

    def test_sent_again_it_is_the_same_order(self, shop: Shop, cart: UUID) -> None:
        first = shop.call("place_order", cart, "key 1")
        assert shop.call("place_order", cart, "key 1") == first
        with pytest.raises(errors.CheckViolation, match="the cart is converted"):
            shop.call("place_order", cart, "key 2")

    def test_what_is_fetched_is_a_pickup(self, shop: Shop) -> None:
        shop.stock(shop.far, 1)
        cart = shop.cart(pickup_location_id=shop.far)
        shop.call("add_to_cart", cart, shop.variant, 1, "pickup")
        shop.call("place_order", cart, "key 1")
        assert one(shop.connection, "SELECT order_kind, sold_location_id FROM ret.sales_order") == (
            "pickup",
            shop.far,
        )
        assert shop.held() == [(shop.far, "hard", 1)]

    @pytest.mark.parametrize(
        ("function", "values"),
        [
            ("place_order", ("key",)),
            ("apply_promotions", ()),
            ("hold_cart_line", ()),
            ("reserve_stock", ()),
        ],
    )
    def test_what_is_not_there_is_said(
        self, shop: Shop, function: str, values: tuple[str, ...]
    ) -> None:
        with pytest.raises(errors.NoDataFound, match="no such"):
            shop.call(function, shop.channel, *values)

    def test_an_empty_cart_is_no_order(self, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="the cart is empty"):
            shop.call("place_order", shop.cart(), "key 1")

    def test_the_price_is_that_of_the_moment(self, shop: Shop, cart: UUID) -> None:
        book = row(
            shop.connection,
            "ret.price_book",
            book_kind="base",
            currency=one(shop.connection, "SELECT currency FROM ret.sales_channel"),
            state="active",
            effective_from="2020-01-01",
        )
        row(
            shop.connection,
            "ret.price_book_entry",
            price_book_id=book,
            product_variant_id=shop.variant,
            min_qty=1,
            price=12,
            effective_from="2020-01-01",
        )
        shop.call("place_order", cart, "key 1")
        assert one(
            shop.connection, "SELECT unit_price, price_source FROM ret.sales_order_line"
        ) == (12, "price_book")

    def test_a_promotion_is_taken_off_and_counted(self, shop: Shop, cart: UUID) -> None:
        self.offer(shop)
        shop.call("place_order", cart, "key 1")
        assert one(shop.connection, "SELECT discount_total, grand_total FROM ret.sales_order") == (
            5,
            20,
        )
        assert one(shop.connection, "SELECT amount FROM ret.order_adjustment") == -5
        assert one(shop.connection, "SELECT redeemed_count, budget_used FROM ret.promotion") == (
            1,
            5,
        )

    def offer(self, shop: Shop, trigger: str = "automatic") -> UUID:
        """A quarter off everything."""
        promotion = row(
            shop.connection,
            "ret.promotion",
            promotion_kind="percent_off",
            trigger_kind=trigger,
            stacking="exclusive",
            starts_at="2020-01-01",
            budget_amount=100,
        )
        row(
            shop.connection,
            "ret.promotion_reward",
            promotion_id=promotion,
            reward_kind="percent",
            reward_value=25,
            applies_to="each_target",
        )
        for state in ("scheduled", "active"):
            shop.connection.execute("UPDATE ret.promotion SET state = %s", [state])
        return promotion

    def test_a_code_is_taken_or_refused_with_a_reason(self, shop: Shop, cart: UUID) -> None:
        row(
            shop.connection,
            "ret.coupon",
            promotion_id=self.offer(shop, "coupon"),
            coupon_code="SAVE25",
            coupon_kind="public",
            starts_at="2020-01-01",
            max_uses=1,
            state="active",
        )
        shop.connection.execute(
            "UPDATE ret.cart SET coupon_codes_doc = %s",
            [json.dumps([{"code": "SAVE25"}, {"code": "NOSUCH"}])],
        )
        shop.call("place_order", cart, "key 1")
        taken, refused = one(shop.connection, "SELECT coupon_codes_doc FROM ret.cart")
        assert taken == {"code": "SAVE25", "accepted": True}
        assert refused["accepted"] is False
        assert refused["reason"]
        assert one(shop.connection, "SELECT adjustment_kind FROM ret.order_adjustment") == "coupon"
        assert one(shop.connection, "SELECT used_count, state FROM ret.coupon") == (1, "exhausted")

    def test_a_bundle_is_sold_for_its_price_by_components(self, shop: Shop) -> None:
        bundle, other = (
            row(shop.connection, "ret.product_variant", list_price=10.01) for _ in range(2)
        )
        add_components(shop.connection, bundle, {shop.variant: 2, other: 1})
        shop.stock(shop.near, 4)
        shop.stock(shop.near, 2, other)
        cart = shop.cart()
        shop.call("add_to_cart", cart, bundle, 2)
        shop.call("place_order", cart, "key 1")
        assert one(shop.connection, "SELECT subtotal FROM ret.sales_order") == one(
            shop.connection, "SELECT subtotal FROM ret.cart"
        )
        assert (
            one(
                shop.connection,
                "SELECT count(*) FROM ret.sales_order_line WHERE bundle_parent_line_id IS NOT NULL",
            )
            == 2
        )
        assert shop.level(shop.near) == (4, 0, 0, 4)
        assert shop.level(shop.near, other) == (2, 0, 0, 2)


class TestAtOnce:
    """What two want at once, one gets."""

    @pytest.fixture
    def market(self, deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID]:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
        return target, tenant

    @contextmanager
    def door(self, market: tuple[Target, UUID]) -> Iterator[Connection]:
        with psycopg.connect(market[0].app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [market[1]])
            yield connection

    def make(self, market: tuple[Target, UUID], work: Callable[[Shop], Any]) -> tuple[Shop, Any]:
        with psycopg.connect(market[0].admin) as connection:
            become_app(connection, market[1])
            shop = Shop(connection)
            return shop, work(shop)

    def test_two_carts_do_not_hold_the_last_piece(self, market: tuple[Target, UUID]) -> None:
        def open_shop(shop: Shop) -> list[UUID]:
            shop.stock(shop.near, 3)
            return [shop.cart() for _ in range(8)]

        shop, carts = self.make(market, open_shop)

        def add(cart: UUID) -> bool:
            with self.door(market) as connection:
                try:
                    connection.execute("SELECT ret.add_to_cart(%s, %s, 1)", [cart, shop.variant])
                except errors.CheckViolation:
                    connection.rollback()
                    return False
                return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(add, carts)) == 3
        with self.door(market) as connection:
            found = one(connection, "SELECT available_qty, reserved_qty FROM ret.stock_level")
        assert found == (0, 3)

    def test_orders_of_the_same_goods_neither_oversell_nor_block_each_other(
        self, market: tuple[Target, UUID]
    ) -> None:
        def open_shop(shop: Shop) -> list[UUID]:
            other = row(shop.connection, "ret.product_variant")
            for place in (shop.near, shop.far):
                shop.stock(place, 3)
                shop.stock(place, 3, other)
            orders = []
            for turn in range(8):
                goods = [shop.variant, other] if turn % 2 else [other, shop.variant]
                order = shop.order(1, goods[0])
                shop.line(order, 1, goods[1])
                orders.append(order)
            return orders

        _, orders = self.make(market, open_shop)

        def reserve(order: UUID) -> int:
            with self.door(market) as connection:
                return len(connection.execute("SELECT ret.reserve_stock(%s)", [order]).fetchall())

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(reserve, orders)) >= 16
        with self.door(market) as connection:
            found = connection.execute(
                "SELECT reservation_kind, sum(quantity) FROM ret.stock_reservation"
                " GROUP BY reservation_kind ORDER BY reservation_kind"
            ).fetchall()
            assert found == [("backorder", 4), ("hard", 12)]
            assert one(connection, "SELECT min(available_qty) FROM ret.stock_level") == 0

    def test_sent_twice_at_once_it_is_one_order(self, market: tuple[Target, UUID]) -> None:
        def open_shop(shop: Shop) -> UUID:
            shop.stock(shop.near, 5)
            cart = shop.cart()
            shop.call("add_to_cart", cart, shop.variant, 1)
            return cart

        _, cart = self.make(market, open_shop)

        def place(_: int) -> UUID:
            with self.door(market) as connection:
                made: UUID = one(connection, "SELECT ret.place_order(%s, 'key')", cart)
                return made

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(place, range(4)))) == 1
        with self.door(market) as connection:
            assert one(connection, "SELECT count(*) FROM ret.sales_order") == 1

    def test_two_pickers_get_different_orders(self, market: tuple[Target, UUID]) -> None:
        shop, _ = self.make(market, lambda shop: [shop.fulfilment(1) for _ in range(2)])
        with psycopg.connect(market[0].admin) as connection:
            picker = add_account(connection, market[1], "picker")
        claim = "SELECT ret.claim_pick_list(%s, %s)"
        with self.door(market) as first, self.door(market) as second:
            # The first has not committed: the second gets the other order without waiting.
            first.execute(claim.encode(), [shop.near, picker])
            second.execute("SET LOCAL lock_timeout = '5s'")
            assert one(second, claim, shop.near, picker)
            assert one(second, claim, shop.near, picker) is None

    def test_workers_give_back_each_hold_once(self, market: tuple[Target, UUID]) -> None:
        def open_shop(shop: Shop) -> None:
            shop.stock(shop.near, 6)
            for _ in range(6):
                shop.call("add_to_cart", shop.cart(), shop.variant, 1)

        self.make(market, open_shop)
        release = "SELECT ret.release_expired_reservations(now() + interval '1 day', 4)"
        with self.door(market) as first, self.door(market) as second:
            assert one(first, release) == 4
            second.execute("SET LOCAL lock_timeout = '5s'")
            first.commit()
            assert one(second, release) == 2

    def test_a_checkout_and_the_release_of_its_hold_do_not_block_each_other(
        self, market: tuple[Target, UUID]
    ) -> None:
        def open_shop(shop: Shop) -> list[UUID]:
            shop.stock(shop.near, 4)
            carts = [shop.cart() for _ in range(4)]
            for cart in carts:
                shop.call("add_to_cart", cart, shop.variant, 1)
            return carts

        _, carts = self.make(market, open_shop)

        def work(cart: UUID | None) -> None:
            with self.door(market) as connection:
                if cart:
                    connection.execute("SELECT ret.place_order(%s, %s)", [cart, str(cart)])
                else:
                    connection.execute(
                        "SELECT ret.release_expired_reservations(now() + interval '1 day')"
                    )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, [*carts, None, None, None, None]))
        with self.door(market) as connection:
            held = one(
                connection,
                "SELECT sum(quantity) FROM ret.stock_reservation"
                " WHERE state = 'active' AND reservation_kind = 'hard'",
            )
            assert one(connection, "SELECT committed_qty FROM ret.stock_level") == held
            assert one(
                connection,
                "SELECT sum(quantity) FROM ret.stock_reservation WHERE state = 'active'",
            ) == len(carts)
