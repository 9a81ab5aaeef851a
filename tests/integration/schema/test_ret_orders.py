"""An order costs what its lines and taxes cost, goes through its states, and then stands."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.schema.rows import row

ORDER = {
    "pending": {"confirmed", "on_hold", "completed", "cancelled"},
    "confirmed": {"on_hold", "processing", "partly_fulfilled", "fulfilled", "cancelled"},
    "on_hold": {"confirmed", "processing", "cancelled"},
    "processing": {"on_hold", "partly_fulfilled", "fulfilled", "cancelled"},
    "partly_fulfilled": {"on_hold", "processing", "fulfilled"},
    "fulfilled": {"completed", "returned"},
    "completed": {"returned"},
    "cancelled": set(),
    "returned": set(),
}
ORDER_PATHS: dict[str, tuple[str, ...]] = {
    "pending": (),
    "confirmed": ("confirmed",),
    "on_hold": ("on_hold",),
    "processing": ("confirmed", "processing"),
    "partly_fulfilled": ("confirmed", "partly_fulfilled"),
    "fulfilled": ("confirmed", "fulfilled"),
    "completed": ("completed",),
    "cancelled": ("cancelled",),
    "returned": ("completed", "returned"),
}
PAYMENT = {
    "unpaid": {"authorised", "partly_paid", "paid"},
    "authorised": {"unpaid", "partly_paid", "paid"},
    "partly_paid": {"unpaid", "paid", "partly_refunded", "refunded"},
    "paid": {"partly_paid", "partly_refunded", "refunded"},
    "partly_refunded": {"refunded"},
    "refunded": set(),
}
PAYMENT_PATHS: dict[str, tuple[str, ...]] = {
    "unpaid": (),
    "authorised": ("authorised",),
    "partly_paid": ("partly_paid",),
    "paid": ("paid",),
    "partly_refunded": ("paid", "partly_refunded"),
    "refunded": ("paid", "refunded"),
}
CART = {
    "active": {"converted", "abandoned", "merged", "expired"},
    "abandoned": {"active", "converted", "merged", "expired"},
    "converted": set(),
    "merged": set(),
    "expired": set(),
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


def add_line(connection: Connection, order: UUID, price: float = 10, **given: Any) -> UUID:
    return row(connection, "ret.sales_order_line", sales_order_id=order, unit_price=price, **given)


def owes(connection: Connection, order: UUID) -> tuple[str, ...]:
    """subtotal, discounts, tax, grand total, cost."""
    found: tuple[str, ...] = one(
        connection,
        "SELECT subtotal::text, discount_total::text, tax_total::text, grand_total::text,"
        " cost_total::text FROM ret.sales_order WHERE sales_order_id = %s",
        order,
    )
    return found


def state_of(connection: Connection, order: UUID) -> str:
    state: str = one(
        connection, "SELECT state FROM ret.sales_order WHERE sales_order_id = %s", order
    )
    return state


@pytest.mark.parametrize(("before", "after"), list(permutations(ORDER, 2)))
def test_an_order_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "ret.sales_order")
    change = b"UPDATE ret.sales_order SET state = %s"
    for step in ORDER_PATHS[before]:
        app.execute(change, [step])
    if after in ORDER[before]:
        app.execute(change, [after])
        trail = app.execute(
            "SELECT aspect, from_state, to_state FROM ret.order_status_event"
            " ORDER BY occurred_at DESC LIMIT 1"
        ).fetchone()
        assert trail == ("order", before, after)
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            app.execute(change, [after])


@pytest.mark.parametrize(("before", "after"), list(permutations(PAYMENT, 2)))
def test_payment_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "ret.sales_order")
    change = b"UPDATE ret.sales_order SET payment_state = %s"
    for step in PAYMENT_PATHS[before]:
        app.execute(change, [step])
    if after in PAYMENT[before]:
        app.execute(change, [after])
        trail = app.execute(
            "SELECT aspect, from_state, to_state FROM ret.order_status_event"
            " ORDER BY occurred_at DESC LIMIT 1"
        ).fetchone()
        assert trail == ("payment", before, after)
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            app.execute(change, [after])


@pytest.mark.parametrize(("before", "after"), list(permutations(CART, 2)))
def test_a_cart_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "ret.cart")
    change = (
        b"UPDATE ret.cart SET state = %s, abandoned_at = CASE WHEN %s = 'abandoned' THEN now() END"
    )
    if before != "active":
        app.execute(change, [before, before])
    if after in CART[before]:
        app.execute(change, [after, after])
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            app.execute(change, [after, after])


@pytest.mark.parametrize("decision", ["accept", "reject", "cancelled"])
def test_a_review_is_decided_once(app: Connection, decision: str) -> None:
    row(app, "ret.fraud_review", risk_score=50)
    change = b"UPDATE ret.fraud_review SET decision = %s, decided_at = now()"
    app.execute(b"UPDATE ret.fraud_review SET scored_at = '2026-01-01'")
    app.execute(change, [decision])
    for other in {"accept", "reject", "cancelled"} - {decision}:
        with pytest.raises(errors.CheckViolation, match=decision), app.transaction():
            app.execute(change, [other])


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("cart", {"cart_kind": "parked_sale"}, "parked_at_a_register"),
        ("cart", {"discount_total": 1}, "discount_within_subtotal"),
        ("cart", {"abandoned_at": "2026-01-01"}, "abandoned_has_time"),
        ("cart", {"item_count": -1}, "items_not_negative"),
        ("cart_line", {"quantity": 0}, "quantity_positive"),
        ("cart_line", {"discount_amount": 11}, "discount_within_price"),
        ("cart_line", {"compare_at_price": 9}, "compares_with_more"),
        ("cart_line", {"gift_message": "For you"}, "message_with_gift"),
        ("sales_order", {"order_kind": "sale"}, "till_sale_has_place"),
        ("sales_order", {"paid_total": 5}, "unpaid_took_nothing"),
        ("sales_order", {"refunded_total": 5}, "refunds_what_was_paid"),
        ("sales_order", {"shipping_total": -1}, "amounts_not_negative"),
        ("sales_order_line", {"quantity": 0}, "quantity_positive"),
        ("sales_order_line", {"fulfilled_qty": 1, "cancelled_qty": 1}, "fulfils_what_was_sold"),
        ("sales_order_line", {"returned_qty": 1}, "returns_what_was_fulfilled"),
        ("sales_order_line", {"price_source": "override"}, "override_has_reason"),
        ("sales_order_line", {"override_reason": "Because"}, "override_has_reason"),
        ("sales_order_line", {"discount_amount": 11}, "discount_within_price"),
        ("sales_order_line", {"unit_price": -1}, "(price_not_negative|discount_within_price)"),
        ("order_address", {"latitude": 41}, "coordinates_in_pairs"),
        ("order_tax_line", {"tax_target": "line"}, "line_when_of_a_line"),
        ("order_tax_line", {"is_exempt": True, "tax_amount": 1}, "exempt_pays_none"),
        ("order_tax_line", {"taxable_amount": -1}, "amounts_not_negative"),
        ("order_status_event", {"from_state": "confirmed"}, "changes_something"),
        ("fraud_review", {"risk_score": 101}, "risk_score_bounded"),
        ("fraud_review", {"decision": "accept"}, "decided_has_time"),
        ("fraud_review", {"velocity_count": -1}, "velocity_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"ret.{table}", **columns)


def test_a_serial_number_is_one_piece(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="serial_is_one_piece"):
        row(
            app,
            "ret.sales_order_line",
            quantity=2,
            serial_unit_id=row(app, "ret.serial_unit", location_id=row(app, "ret.location")),
        )


def test_an_order_costs_what_its_lines_cost(app: Connection) -> None:
    order = row(app, "ret.sales_order", shipping_total=5)
    line = add_line(app, order, 10, quantity=3, discount_amount=4, unit_cost=2.5)
    add_line(app, order, 1.005)
    assert owes(app, order) == ("31.01", "4.00", "0.00", "32.01", "7.50")
    app.execute("UPDATE ret.sales_order_line SET quantity = 1 WHERE line_number > 0")
    assert owes(app, order) == ("11.01", "4.00", "0.00", "12.01", "2.50")
    app.execute("DELETE FROM ret.sales_order_line WHERE sales_order_line_id = %s", [line])
    assert owes(app, order) == ("1.01", "0.00", "0.00", "6.01", "0.00")


def test_tax_on_top_is_owed_and_tax_in_the_price_is_not(app: Connection) -> None:
    order = row(app, "ret.sales_order")
    line = add_line(app, order, 100)
    taxed = {"sales_order_id": order, "sales_order_line_id": line, "tax_target": "line"}
    row(app, "ret.order_tax_line", **taxed, tax_amount=7)
    row(app, "ret.order_tax_line", **taxed, tax_amount=3, is_inclusive=True)
    assert owes(app, order)[2:4] == ("7.00", "107.00")
    assert one(app, "SELECT tax_amount FROM ret.sales_order_line") == Decimal("7.00")
    app.execute("DELETE FROM ret.order_tax_line")
    assert owes(app, order)[2:4] == ("0.00", "100.00")
    assert one(app, "SELECT tax_amount FROM ret.sales_order_line") == Decimal("0.00")


@pytest.mark.parametrize("figure", ["subtotal", "tax_total", "cost_total"])
def test_a_figure_that_was_typed_in_is_found(app: Connection, figure: str) -> None:
    order = row(app, "ret.sales_order")
    add_line(app, order)
    assert app.execute("SELECT * FROM ret.order_differences()").fetchall() == []
    app.execute(sql.SQL("UPDATE ret.sales_order SET {0} = {0} + 1").format(sql.Identifier(figure)))
    assert one(app, "SELECT figure FROM ret.order_differences()") == figure


def test_the_state_follows_what_was_handed_over(app: Connection) -> None:
    order = row(app, "ret.sales_order", state="confirmed")
    add_line(app, order, quantity=2)
    for progress, state in [
        ("fulfilled_qty = 1", "partly_fulfilled"),
        ("cancelled_qty = 1", "fulfilled"),
        ("returned_qty = 1", "returned"),
    ]:
        app.execute(f"UPDATE ret.sales_order_line SET {progress}".encode())
        assert state_of(app, order) == state


def test_an_order_of_which_every_line_is_called_off_is_cancelled(app: Connection) -> None:
    order = row(app, "ret.sales_order", state="confirmed")
    add_line(app, order)
    app.execute("UPDATE ret.sales_order_line SET cancelled_qty = quantity")
    assert state_of(app, order) == "cancelled"


def test_a_bundle_is_handed_over_by_its_components(app: Connection) -> None:
    order = row(app, "ret.sales_order", state="confirmed")
    bundle = add_line(app, order, 0)
    add_line(app, order, 8, bundle_parent_line_id=bundle)
    app.execute("UPDATE ret.sales_order_line SET fulfilled_qty = 1 WHERE unit_price > 0")
    assert state_of(app, order) == "fulfilled"


def test_an_order_is_completed_when_everything_was_handed_over(app: Connection) -> None:
    add_line(app, row(app, "ret.sales_order"))
    with pytest.raises(errors.CheckViolation, match="something is still to be handed over"):
        app.execute("UPDATE ret.sales_order SET state = 'completed'")


@pytest.mark.parametrize("state", ["completed", "cancelled"])
def test_the_amounts_of_an_ended_order_stand(app: Connection, state: str) -> None:
    order = row(app, "ret.sales_order")
    add_line(app, order, fulfilled_qty=1)
    app.execute("UPDATE ret.sales_order SET state = %s", [state])
    with pytest.raises(errors.CheckViolation, match="its amounts stand"), app.transaction():
        app.execute("UPDATE ret.sales_order_line SET unit_price = 9")
    with pytest.raises(errors.CheckViolation, match="its amounts stand"), app.transaction():
        app.execute("UPDATE ret.sales_order SET shipping_total = 9")
    app.execute("UPDATE ret.sales_order SET paid_total = 10, payment_state = 'paid'")


@pytest.mark.parametrize("decision", ["pending", "reject"])
def test_a_risky_order_does_not_leave(app: Connection, decision: str) -> None:
    order = row(app, "ret.sales_order", state="confirmed")
    row(app, "ret.fraud_review", sales_order_id=order, risk_score=90, scored_at="2026-01-01")
    app.execute(
        "UPDATE ret.fraud_review SET decision = %s,"
        " decided_at = CASE WHEN %s <> 'pending' THEN now() END",
        [decision, decision],
    )
    with pytest.raises(errors.CheckViolation, match=decision), app.transaction():
        app.execute("UPDATE ret.sales_order SET state = 'processing'")
    row(
        app,
        "ret.fraud_review",
        sales_order_id=order,
        risk_score=5,
        scored_at="2026-02-01",
        decision="accept",
        decided_at="2026-02-01",
    )
    app.execute("UPDATE ret.sales_order SET state = 'processing'")


def test_the_reasons_of_rejected_orders_are_ranked(app: Connection) -> None:
    for signals in [["address", "velocity"], ["address"]]:
        row(
            app,
            "ret.fraud_review",
            risk_score=90,
            signals_doc=json.dumps([{"signal": s, "weight": 30} for s in signals]),
            scored_at="2026-01-01",
        )
    app.execute("UPDATE ret.fraud_review SET decision = 'reject', decided_at = '2026-01-02'")
    found = app.execute(
        "SELECT signal, orders FROM ret.rejection_reasons('2026-01-01', '2026-02-01')"
    ).fetchall()
    assert found == [("address", 2), ("velocity", 1)]
    assert (
        app.execute("SELECT * FROM ret.rejection_reasons('2026-02-01', '2026-03-01')").fetchall()
        == []
    )


def test_the_trail_names_who_placed_it(app: Connection) -> None:
    row(app, "ret.sales_order", customer_id=row(app, "ret.customer"))
    row(app, "ret.sales_order", external_order_id="X-1")
    found = app.execute(
        "SELECT actor_kind, from_state, to_state FROM ret.order_status_event ORDER BY actor_kind"
    ).fetchall()
    assert found == [("channel", None, "pending"), ("customer", None, "pending")]


def test_the_trail_stands(app: Connection) -> None:
    row(app, "ret.sales_order")
    with pytest.raises(psycopg.Error, match="permission denied"):
        app.execute("UPDATE ret.order_status_event SET note = 'nothing happened'")


def test_a_marketplace_order_is_imported_once(app: Connection) -> None:
    channel = row(app, "ret.sales_channel")
    row(app, "ret.sales_order", sales_channel_id=channel, external_order_id="X-1")
    with pytest.raises(errors.UniqueViolation, match="external"):
        row(app, "ret.sales_order", sales_channel_id=channel, external_order_id="X-1")


class TestCart:
    """A cart costs what is in it."""

    def test_its_figures_follow_its_lines(self, app: Connection) -> None:
        cart = row(app, "ret.cart")
        row(app, "ret.cart_line", cart_id=cart, quantity=3, discount_amount=5)
        row(app, "ret.cart_line", cart_id=cart, quantity=0.25, unit_price=20)
        figures = "SELECT subtotal, discount_total, grand_total, item_count FROM ret.cart"
        assert one(app, figures) == (35, 5, 30, 4)
        app.execute("DELETE FROM ret.cart_line")
        assert one(app, figures) == (0, 0, 0, 0)

    def test_nothing_is_put_into_a_cart_that_became_an_order(self, app: Connection) -> None:
        cart = row(app, "ret.cart")
        app.execute("UPDATE ret.cart SET state = 'converted'")
        with pytest.raises(errors.CheckViolation, match="the cart is converted"):
            row(app, "ret.cart_line", cart_id=cart)


class TestTax:
    """Each line is taxed where it is sold or where it goes, by what it is and when."""

    @pytest.fixture
    def goods(self, app: Connection) -> UUID:
        return row(app, "ret.tax_class")

    def rate(self, connection: Connection, goods: UUID, region: str | None, **given: Any) -> UUID:
        jurisdiction = given.pop("jurisdiction", None) or row(
            connection,
            "ret.tax_jurisdiction",
            level_kind="country" if region is None else "state",
            country_code="US",
            region_code=region,
            sourcing_rule=given.pop("sourcing_rule", "destination"),
            nexus_since=given.pop("nexus_since", "2020-01-01"),
        )
        columns = {"rate_pct": 10, "effective_from": "2020-01-01", **given}
        return row(
            connection,
            "ret.tax_rate",
            tax_jurisdiction_id=jurisdiction,
            tax_class_id=goods,
            **columns,
        )

    def order(
        self, connection: Connection, goods: UUID, choice: str = "ship", **given: Any
    ) -> UUID:
        """A line of 100 from a store in Illinois, shipped to Wisconsin where it is shipped."""
        store = row(connection, "ret.location", region_code="IL")
        order = row(connection, "ret.sales_order", sold_location_id=store, **given)
        row(
            connection,
            "ret.order_address",
            sales_order_id=order,
            address_role="shipping",
            country_code="US",
            region_code="WI",
            postal_code="53202",
        )
        product = row(connection, "ret.product", tax_class_id=goods)
        add_line(
            connection,
            order,
            50,
            quantity=2,
            product_variant_id=row(connection, "ret.product_variant", product_id=product),
            fulfilment_choice=choice,
        )
        return order

    def tax(self, connection: Connection, order: UUID) -> Decimal:
        found: Decimal = one(connection, "SELECT ret.calculate_tax(%s)", order)
        return found

    @pytest.mark.parametrize(
        ("region", "choice", "rule", "tax"),
        [
            ("IL", "carry_out", "destination", 10),
            ("WI", "carry_out", "destination", 0),
            ("IL", "ship", "destination", 0),
            ("WI", "ship", "destination", 10),
            ("IL", "ship", "origin", 10),
            ("WI", "ship", "origin", 0),
            (None, "ship", "destination", 10),
        ],
    )
    def test_where_it_is_taxed(
        self, app: Connection, goods: UUID, region: str, choice: str, rule: str, tax: int
    ) -> None:
        self.rate(app, goods, region, sourcing_rule=rule)
        assert self.tax(app, self.order(app, goods, choice)) == tax

    @pytest.mark.parametrize(
        ("rate", "tax"),
        [
            ({"rate_kind": "per_unit", "rate_pct": 40}, "0.80"),
            ({"rate_kind": "threshold", "min_amount": 45}, "1.00"),
            ({"min_amount": 50.01}, "0"),
            ({"max_amount": 50}, "0"),
            ({"effective_to": "2021-01-01"}, "0"),
            ({"nexus_since": None}, "0"),
        ],
    )
    def test_what_a_rate_takes(
        self, app: Connection, goods: UUID, rate: dict[str, Any], tax: str
    ) -> None:
        self.rate(app, goods, "WI", **rate)
        assert self.tax(app, self.order(app, goods)) == Decimal(tax)

    def test_tax_within_the_price_is_not_on_top(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, "WI", is_inclusive=True)
        assert self.tax(app, self.order(app, goods)) == 0
        assert one(app, "SELECT tax_amount FROM ret.order_tax_line") == Decimal("9.09")

    def test_a_compound_rate_taxes_the_tax(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, None)
        self.rate(app, goods, "WI", is_compound=True)
        assert self.tax(app, self.order(app, goods)) == 21

    def test_a_holiday_takes_the_place_of_the_rate(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, "WI")
        home = one(app, "SELECT tax_jurisdiction_id FROM ret.tax_jurisdiction")
        self.rate(
            app,
            goods,
            "WI",
            jurisdiction=home,
            rate_pct=0,
            is_holiday=True,
            effective_to="2099-01-01",
        )
        assert self.tax(app, self.order(app, goods)) == 0

    def test_who_is_exempt_pays_none(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, "WI")
        customer = row(app, "ret.customer")
        row(
            app,
            "ret.tax_exemption",
            customer_id=customer,
            tax_jurisdiction_id=one(app, "SELECT tax_jurisdiction_id FROM ret.tax_jurisdiction"),
            issued_on="2020-01-01",
            verified_at="2020-01-02",
            status="valid",
        )
        assert self.tax(app, self.order(app, goods, customer_id=customer)) == 0
        assert one(app, "SELECT is_exempt, taxable_amount FROM ret.order_tax_line") == (True, 100)

    def test_shipping_is_taxed_by_its_class(self, app: Connection, goods: UUID) -> None:
        freight = row(app, "ret.tax_class", is_shipping=True)
        self.rate(app, freight, "WI")
        assert self.tax(app, self.order(app, goods, shipping_total=20)) == 2
        assert one(app, "SELECT tax_target FROM ret.order_tax_line") == "shipping"

    def test_a_marketplace_remits_its_own(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, "WI")
        channel = row(
            app,
            "ret.sales_channel",
            channel_kind="marketplace",
            provider="amazon",
            remits_tax=True,
        )
        self.tax(app, self.order(app, goods, sales_channel_id=channel))
        assert one(app, "SELECT collected_by FROM ret.order_tax_line") == "marketplace"

    def test_taxed_again_it_is_taxed_once(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, "WI")
        order = self.order(app, goods)
        assert self.tax(app, order) == self.tax(app, order) == 10
        assert one(app, "SELECT count(*) FROM ret.order_tax_line") == 1

    def test_no_order_no_tax(self, app: Connection, goods: UUID) -> None:
        with pytest.raises(errors.NoDataFound, match="no order"):
            self.tax(app, goods)
