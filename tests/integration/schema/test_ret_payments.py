"""Payments settle orders and never pay too much; payouts add up and agree with them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_point_of_sale import (
    CASH,
    Shop,
    one,
    open_shop,
    order,
    sell,
    shop,
)

__all__ = ["shop"]

NOW = "2036-01-01"


@pytest.fixture
def sold(app: Connection, shop: Shop) -> UUID:
    """An order that comes to 22: 20 and a tenth of tax."""
    return order(app, shop)


def pay(connection: Connection, sold: UUID, amount: float, **given: Any) -> UUID:
    """A captured bank transfer, unless another state or tender is given."""
    captured = given.get("state", "captured") == "captured"
    usual = {"captured_amount": amount, "captured_at": NOW} if captured else {}
    return row(
        connection,
        "ret.payment",
        sales_order_id=sold,
        amount=amount,
        **{"state": "captured", **usual, **given},
    )


def stands(connection: Connection) -> Any:
    return one(connection, "SELECT paid_total, payment_state FROM ret.sales_order")


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"adjustment_kind": "shipping_discount", "amount": 1}, "sign_by_kind"),
        ({"amount": -1}, "sign_by_kind"),
        ({"adjustment_kind": "rounding", "amount": 1.01}, "sign_by_kind"),
        ({"adjustment_kind": "manual", "amount": -1}, "manual_is_approved"),
        ({"adjustment_kind": "price_match", "amount": -1}, "manual_is_approved"),
        ({"adjustment_kind": "promotion", "amount": -1}, "source_by_kind"),
        ({"adjustment_kind": "coupon", "amount": -1}, "source_by_kind"),
        ({"adjustment_kind": "reward", "amount": -1}, "source_by_kind"),
        ({"rate_pct": 101}, "rate_bounded"),
        ({"units_affected": 0}, "units_positive"),
    ],
)
def test_an_adjustment_says_why(
    app: Connection, sold: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "ret.order_adjustment", sales_order_id=sold, **columns)


def discount(connection: Connection, sold: UUID, amount: float, by: UUID) -> UUID:
    return row(
        connection,
        "ret.order_adjustment",
        sales_order_id=sold,
        sales_order_line_id=one(connection, "SELECT sales_order_line_id FROM ret.sales_order_line"),
        adjustment_kind="manual",
        approved_by_user_id=by,
        amount=-amount,
    )


def test_what_is_taken_off_a_line_is_its_discount(app: Connection, shop: Shop, sold: UUID) -> None:
    first = discount(app, sold, 3, shop.cashier)
    discount(app, sold, 1, shop.cashier)
    assert one(app, "SELECT subtotal, discount_total FROM ret.sales_order") == (20, 4)
    app.execute(
        "UPDATE ret.order_adjustment SET state = 'released' WHERE order_adjustment_id = %s", [first]
    )
    assert one(app, "SELECT discount_amount FROM ret.sales_order_line") == 1
    with pytest.raises(errors.CheckViolation, match="released cannot become applied"):
        app.execute("UPDATE ret.order_adjustment SET state = 'applied'")


def test_an_adjustment_is_of_its_own_order(app: Connection, shop: Shop, sold: UUID) -> None:
    line = one(app, "SELECT sales_order_line_id FROM ret.sales_order_line")
    with pytest.raises(errors.CheckViolation, match="the line is of another order"):
        row(
            app,
            "ret.order_adjustment",
            sales_order_id=order(app, shop),
            sales_order_line_id=line,
        )


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"method": "card"}, "card_expires"),
        ({"card_last4": "12a4"}, "last4_is_four_digits"),
        ({"token_ref": "4242 4242 4242 4242"}, "is_no_card_number"),
        ({"expiry_month": 13}, "expiry_month_bounded"),
        ({"expiry_year": 1999}, "expiry_year_bounded"),
        ({"is_default": True, "state": "expired"}, "cannot start as expired"),
    ],
)
def test_a_token_is_no_card(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "ret.payment_token", **columns)


def test_a_customer_has_one_default(app: Connection) -> None:
    customer = row(app, "ret.customer")
    row(app, "ret.payment_token", customer_id=customer, is_default=True)
    with pytest.raises(errors.CheckViolation, match="default_is_active"), app.transaction():
        app.execute("UPDATE ret.payment_token SET state = 'expired'")
    with pytest.raises(errors.UniqueViolation, match="payment_token_default_idx"):
        row(app, "ret.payment_token", customer_id=customer, is_default=True)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (["expired", "active"], True),
        (["expired", "removed"], True),
        (["removed", "active"], False),
        (["removed", "expired"], False),
    ],
)
def test_a_token_goes_its_way(app: Connection, path: list[str], allowed: bool) -> None:
    row(app, "ret.payment_token")
    app.execute("UPDATE ret.payment_token SET state = %s", path[:1])
    if allowed:
        app.execute("UPDATE ret.payment_token SET state = %s", path[1:])
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute("UPDATE ret.payment_token SET state = %s", path[1:])


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"amount": 0}, "payment_amount_positive"),
        ({"captured_amount": 6, "state": "captured", "captured_at": NOW}, "captures_at_most"),
        ({"refunded_amount": 1}, "payment_refund"),
        ({"tender": "cash"}, "cash_goes_in_a_drawer"),
        ({"amount_tendered": 4}, "cash_is_enough"),
        ({"tender": "gift_card"}, "gift_card_is_named"),
        ({"tender": "store_credit"}, "store_credit_is_named"),
        ({"tender": "card"}, "card_has_entry_mode"),
        ({"card_last4": "123"}, "last4_is_four_digits"),
        ({"state": "captured"}, "captured_by_state"),
        ({"captured_amount": 5, "captured_at": NOW}, "captured_by_state"),
        ({"state": "captured", "captured_amount": 5}, "captured_has_time"),
        (
            {
                "state": "captured",
                "captured_amount": 5,
                "captured_at": NOW,
                "authorised_at": "2037-01-01",
            },
            "captured_after_approval",
        ),
        ({"processing_fee": -1}, "fee_not_negative"),
        ({"currency": "EUR"}, "the order is in USD, not in EUR"),
    ],
)
def test_a_payment_says_how(
    app: Connection, sold: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "ret.payment", sales_order_id=sold, **{"amount": 5, **columns})


EDGES = {
    "pending": {"authorised", "captured", "voided", "failed"},
    "authorised": {"captured", "voided", "failed"},
    "captured": set(),
    "voided": set(),
    "failed": set(),
}


@pytest.mark.parametrize("end", sorted(EDGES))
@pytest.mark.parametrize("start", sorted(EDGES))
def test_a_payment_goes_its_way(app: Connection, sold: UUID, start: str, end: str) -> None:
    begins = start if start != "voided" else "pending"
    made = pay(app, sold, 5, state=begins)
    if start == "voided":
        app.execute("UPDATE ret.payment SET state = 'voided'")
    become = (
        "UPDATE ret.payment SET state = %(end)s,"
        " captured_amount = CASE WHEN %(end)s = 'captured' THEN 5 ELSE 0 END,"
        " captured_at = CASE WHEN %(end)s = 'captured' THEN now() END"
        " WHERE payment_id = %(made)s"
    )
    if end in EDGES[start] | {start}:
        app.execute(become, {"end": end, "made": made})
        assert one(app, "SELECT state FROM ret.payment") == end
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(become, {"end": end, "made": made})


@pytest.mark.parametrize("state", ["voided", "refunded", "partly_refunded"])
def test_a_payment_does_not_start_at_its_end(app: Connection, sold: UUID, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        pay(app, sold, 5, state=state)


def test_payments_settle_the_order(app: Connection, sold: UUID) -> None:
    assert stands(app) == (0, "unpaid")
    pay(app, sold, 22, state="authorised", authorised_at=NOW)
    assert stands(app) == (0, "authorised")
    app.execute("UPDATE ret.payment SET state = 'voided'")
    assert stands(app) == (0, "unpaid")
    pay(app, sold, 10)
    assert stands(app) == (10, "partly_paid")
    pay(app, sold, 12)
    assert stands(app) == (22, "paid")


def test_nobody_pays_more_than_it_comes_to(app: Connection, sold: UUID) -> None:
    pay(app, sold, 20)
    with pytest.raises(errors.CheckViolation, match=r"comes to 22\.00, 22\.01 would be paid"):
        pay(app, sold, 2.01)


def test_a_stored_value_pays_from_its_ledger(app: Connection, sold: UUID) -> None:
    card = row(app, "ret.gift_card", currency="USD")
    row(app, "ret.gift_card_entry", gift_card_id=card, entry_kind="activate", amount=50)
    pay(app, sold, 10, tender="gift_card", gift_card_id=card)
    app.execute("UPDATE ret.payment SET processing_fee = 1")
    found = app.execute("SELECT entry_kind, amount FROM ret.gift_card_entry").fetchall()
    assert ("redeem", Decimal("-10.00")) in found
    assert [kind for kind, _ in found].count("redeem") == 1
    assert one(app, "SELECT balance_amount FROM ret.gift_card") == 40


class TestSale:
    """A sale at the till is one call, and the same call again is the same sale."""

    def test_it_is_sold_paid_handed_over_and_printed(self, app: Connection, shop: Shop) -> None:
        sell(app, shop, CASH)
        sold = one(
            app,
            "SELECT order_kind, state, payment_state, grand_total, paid_total, cost_total"
            " FROM ret.sales_order",
        )
        assert sold == ("sale", "completed", "paid", 22, 22, 10)
        receipt = one(
            app,
            "SELECT item_count, net_total, right(receipt_number, 9) FROM ret.pos_transaction",
        )
        assert receipt == (2, 22, "-00000001")
        assert one(app, "SELECT on_hand_qty FROM ret.stock_level") == 18
        assert one(app, "SELECT change_given FROM ret.payment") == 8

    def test_tenders_are_shared(self, app: Connection, shop: Shop) -> None:
        sell(app, shop, {"tender": "cash", "amount": 10, "tendered": 10}, {"tender": "card"})
        found = app.execute("SELECT tender, amount FROM ret.payment ORDER BY tender").fetchall()
        assert found == [("card", 12), ("cash", 10)]
        attempts = app.execute("SELECT operation, outcome, amount FROM ret.payment_attempt")
        assert attempts.fetchall() == [("capture", "approved", 12)]
        journal = one(app, "SELECT sum(amount) FROM ret.pos_journal_event")
        assert journal == 22

    def test_a_scanned_barcode_is_found(self, app: Connection, shop: Shop) -> None:
        row(
            app,
            "ret.variant_barcode",
            product_variant_id=shop.variant,
            symbology="in_store",
            barcode="200001",
        )
        basket = {"lines": [{"barcode": "200001"}, {"barcode": "200001", "quantity": 2}]}
        self.ring_up(app, shop, basket)
        assert one(app, "SELECT grand_total FROM ret.sales_order") == 33

    def ring_up(
        self, connection: Connection, shop: Shop, basket: dict[str, Any], *tenders: Any
    ) -> Any:
        return one(
            connection,
            "SELECT ret.complete_pos_sale(%s, %s, %s)",
            shop.session,
            Jsonb(basket),
            Jsonb(list(tenders) or [{"tender": "card"}]),
        )

    def test_unknown_goods_are_refused(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="of 2 lines 1 are known goods"):
            self.ring_up(
                app,
                shop,
                {"lines": [{"variant": str(shop.variant)}, {"barcode": "299999"}]},
            )

    def test_another_price_is_an_override(self, app: Connection, shop: Shop) -> None:
        self.ring_up(app, shop, {"lines": [{"variant": str(shop.variant), "price": 8}]})
        found = one(
            app,
            "SELECT unit_price, list_price, price_source, override_reason"
            " FROM ret.sales_order_line",
        )
        assert found == (8, 10, "override", "keyed at the till")

    def test_far_below_the_price_somebody_approves(self, app: Connection, shop: Shop) -> None:
        app.execute("UPDATE ret.register_session SET approval_limit = 1")
        line = {"variant": str(shop.variant), "price": 8}
        with pytest.raises(errors.CheckViolation, match="needs an approver"), app.transaction():
            self.ring_up(app, shop, {"lines": [line]})
        self.ring_up(app, shop, {"lines": [{**line, "approved_by": str(shop.cashier)}]})
        told = one(
            app,
            "SELECT amount, approver_name FROM ret.pos_journal_event"
            " WHERE event_kind = 'price_override'",
        )
        assert told == (2, "Ada")

    def test_a_discount_is_approved_and_lowers_the_tax(self, app: Connection, shop: Shop) -> None:
        line = {"variant": str(shop.variant), "discount": 5}
        with pytest.raises(errors.CheckViolation, match="manual_is_approved"), app.transaction():
            self.ring_up(app, shop, {"lines": [line]})
        self.ring_up(app, shop, {"lines": [{**line, "approved_by": str(shop.cashier)}]})
        assert one(app, "SELECT grand_total FROM ret.sales_order") == Decimal("5.50")
        assert one(app, "SELECT amount FROM ret.order_adjustment") == -5

    @pytest.mark.parametrize("amount", [21.99, 22.01])
    def test_it_is_paid_to_the_cent(self, app: Connection, shop: Shop, amount: float) -> None:
        with pytest.raises(errors.CheckViolation, match="comes to 22"):
            sell(app, shop, {"tender": "card", "amount": amount})

    def test_what_is_not_there_is_not_sold(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="is short of"):
            sell(app, shop, quantity=21)

    def test_a_register_may_take_no_cash(self, app: Connection, shop: Shop) -> None:
        app.execute("UPDATE ret.register SET cash_enabled = false")
        with pytest.raises(errors.CheckViolation, match="takes no cash"):
            sell(app, shop, CASH)

    def test_the_same_key_is_the_same_sale(self, app: Connection, shop: Shop) -> None:
        assert sell(app, shop, key="a1") == sell(app, shop, key="a1")
        assert one(app, "SELECT count(*) FROM ret.payment") == 1

    def test_sessions_that_are_not_open_sell_nothing(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="is not there"):
            app.execute("SELECT ret.complete_pos_sale(%s, '{\"lines\": []}', '[]')", [shop.variant])

    def test_a_unit_is_sold_with_its_number(self, app: Connection, shop: Shop) -> None:
        unit = row(
            app,
            "ret.serial_unit",
            product_variant_id=shop.variant,
            location_id=shop.store,
            serial_number="S1",
            state="in_stock",
            received_at="2020-01-01",
        )
        self.ring_up(app, shop, {"lines": [{"variant": str(shop.variant), "serial": str(unit)}]})
        assert one(app, "SELECT state, location_id FROM ret.serial_unit") == ("sold", None)

    def test_the_parts_of_a_bundle_leave(self, app: Connection, shop: Shop) -> None:
        bundle = row(
            app,
            "ret.product_variant",
            product_id=row(app, "ret.product", product_kind="bundle"),
            list_price=25,
        )
        row(
            app,
            "ret.bundle_component",
            bundle_variant_id=bundle,
            component_variant_id=shop.variant,
            quantity=3,
        )
        self.ring_up(app, shop, {"lines": [{"variant": str(bundle), "quantity": 2}]})
        assert one(app, "SELECT on_hand_qty FROM ret.stock_level") == 14

    def test_points_are_noted_once(self, app: Connection, shop: Shop) -> None:
        customer = row(app, "ret.customer")
        program = row(app, "ret.loyalty_program", state="active", point_value=0.01)
        row(
            app,
            "ret.loyalty_account",
            loyalty_program_id=program,
            customer_id=customer,
        )
        row(
            app,
            "ret.loyalty_earn_rule",
            loyalty_program_id=program,
            earn_kind="spend",
            unit_amount=5,
            points_per_unit=3,
            starts_at="2020-01-01",
        )
        sold = sell(app, shop, customer=str(customer))
        assert one(app, "SELECT entry_kind, points FROM ret.loyalty_entry") == ("pending", 12)
        assert one(app, "SELECT ret.earn_order_points(%s)", sold) == 0

    def test_strangers_earn_nothing(self, app: Connection, shop: Shop) -> None:
        assert one(app, "SELECT ret.earn_order_points(%s)", sell(app, shop)) == 0

    def test_the_last_piece_is_sold_once(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            cashier = add_account(connection, tenant, "ada")
            become_app(connection, tenant)
            shop = open_shop(connection, cashier)
            second = row(connection, "ret.register", location_id=shop.store)
            found = one(connection, "SELECT ret.open_register(%s, %s, 0)", second, cashier)
        tills = [shop.session, found] * 3

        def ring_up(number: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                till = Shop(**{**shop.__dict__, "session": tills[number]})
                try:
                    sell(connection, till, quantity=8, key=f"sale {number}")
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(ring_up, range(6))) == 2
        with psycopg.connect(target.admin) as connection:
            assert one(connection, "SELECT on_hand_qty FROM ret.stock_level") == 4


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"outcome": "declined"}, "decline_has_reason"),
        ({"latency_ms": -1}, "latency_ms_not_negative"),
        ({"amount": -1}, "amount_not_negative"),
        ({"payload": '{"pan": "4242"}'}, "keeps_no_card_data"),
    ],
)
def test_an_attempt_is_written_down(
    app: Connection, sold: UUID, columns: dict[str, Any], error: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=error):
        row(app, "ret.payment_attempt", payment_id=pay(app, sold, 5), **columns)


def test_attempts_stand(admin: Connection, app: Connection, sold: UUID) -> None:
    row(app, "ret.payment_attempt", payment_id=pay(app, sold, 5))
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("UPDATE ret.payment_attempt SET amount = 1")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("DELETE FROM ret.payment_attempt")


class TestDispute:
    @pytest.fixture
    def payment(self, app: Connection, sold: UUID) -> UUID:
        return pay(app, sold, 22)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"disputed_amount": 0}, "amount_positive"),
            ({"submitted_at": NOW, "evidence_due_at": "2035-01-01"}, "submitted_in_time"),
            ({"submitted_at": "2020-01-01"}, "submitted_after_opening"),
            ({"state": "evidence_required"}, "evidence_has_date"),
            ({"closed_at": NOW}, "closed_has_time"),
            ({"disputed_amount": 22.01}, r"captured 22\.00, no more is disputed"),
        ],
    )
    def test_it_says_what_happened(
        self, app: Connection, payment: UUID, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            row(app, "ret.payment_dispute", payment_id=payment, **columns)

    def test_no_more_is_disputed_than_was_paid(self, app: Connection, payment: UUID) -> None:
        row(app, "ret.payment_dispute", payment_id=payment, disputed_amount=20)
        with pytest.raises(errors.CheckViolation, match="no more is disputed"), app.transaction():
            row(app, "ret.payment_dispute", payment_id=payment, disputed_amount=3)
        app.execute("UPDATE ret.payment_dispute SET state = 'won', closed_at = now()")
        row(app, "ret.payment_dispute", payment_id=payment, disputed_amount=22)

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (["evidence_required", "processing", "won"], True),
            (["evidence_required", "processing", "lost"], True),
            (["evidence_required", "lost"], True),
            (["evidence_required", "accepted"], True),
            (["accepted"], True),
            (["won"], True),
            (["lost"], False),
            (["processing"], False),
            (["evidence_required", "won"], False),
            (["evidence_required", "processing", "accepted"], False),
            (["won", "lost"], False),
        ],
    )
    def test_it_goes_its_way(
        self, app: Connection, payment: UUID, path: list[str], allowed: bool
    ) -> None:
        row(app, "ret.payment_dispute", payment_id=payment)
        *before, last = path
        become = (
            "UPDATE ret.payment_dispute SET state = %(state)s, evidence_due_at = now(),"
            " submitted_at = now(), opened_at = now(), closed_at = CASE WHEN %(state)s IN"
            " ('won', 'lost', 'accepted') THEN now() END"
        )
        for state in before:
            app.execute(become, {"state": state})
        if allowed:
            app.execute(become, {"state": last})
        else:
            with pytest.raises(errors.CheckViolation, match="cannot become"):
                app.execute(become, {"state": last})


class TestPayout:
    """A payout is the sum of its entries, and reconciled when they agree with our payments."""

    @pytest.fixture
    def payout(self, app: Connection) -> UUID:
        return row(app, "ret.processor_payout", state="sent")

    def enter(
        self, connection: Connection, payout: UUID, kind: str, gross: float, **given: Any
    ) -> UUID:
        return row(
            connection,
            "ret.processor_payout_entry",
            processor_payout_id=payout,
            entry_kind=kind,
            gross_amount=gross,
            **given,
        )

    def test_it_adds_up(self, app: Connection, payout: UUID) -> None:
        for kind, gross, fee in (
            ("charge", 100, 3),
            ("adjustment", -2, 0),
            ("refund", -20, 0),
            ("fee", -5, 0),
            ("tax_on_fee", -1, 0),
            ("dispute", -15, 10),
            ("dispute_reversal", 15, 0),
            ("reserve_hold", -8, 0),
            ("reserve_release", 3, 0),
        ):
            self.enter(app, payout, kind, gross, fee_amount=fee)
        found = one(
            app,
            "SELECT gross_amount, fee_amount, refund_amount, dispute_amount, reserve_amount,"
            " net_amount FROM ret.processor_payout",
        )
        assert found == (98, 19, 20, 0, 5, 54)
        assert one(app, "SELECT sum(net_amount) FROM ret.processor_payout_entry") == 54
        app.execute("DELETE FROM ret.processor_payout_entry WHERE entry_kind = 'refund'")
        assert one(app, "SELECT net_amount FROM ret.processor_payout") == 74

    @pytest.mark.parametrize(
        ("kind", "gross", "truth"),
        [
            ("charge", -1, "sign_by_kind"),
            ("refund", 1, "sign_by_kind"),
            ("fee", 1, "sign_by_kind"),
            ("dispute", 1, "sign_by_kind"),
            ("dispute_reversal", -1, "sign_by_kind"),
            ("reserve_hold", 1, "sign_by_kind"),
            ("reserve_release", -1, "sign_by_kind"),
        ],
    )
    def test_an_entry_has_its_sign(
        self, app: Connection, payout: UUID, kind: str, gross: float, truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            self.enter(app, payout, kind, gross)

    @pytest.mark.parametrize(
        ("given", "truth"),
        [
            ({"match_state": "matched", "expected_amount": 9}, "matched_agrees"),
            ({"match_state": "variance", "expected_amount": 10}, "matched_agrees"),
        ],
    )
    def test_a_match_agrees(
        self, app: Connection, payout: UUID, given: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            self.enter(app, payout, "charge", 10, **given)

    @pytest.mark.parametrize(
        ("given", "truth"),
        [
            ({"period_start": "2026-05-05", "period_end": "2026-05-04"}, "period_in_order"),
            ({"arrived_on": "2026-05-06"}, "arrived_has_date"),
        ],
    )
    def test_a_payout_has_its_dates(
        self, app: Connection, given: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            row(app, "ret.processor_payout", **given)

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (["paid", "reconciled"], True),
            (["failed", "sent"], True),
            (["paid", "failed"], True),
            (["reconciled"], False),
            (["failed", "paid"], False),
            (["paid", "sent"], False),
            (["paid", "reconciled", "paid"], False),
        ],
    )
    def test_it_goes_its_way(
        self, app: Connection, payout: UUID, path: list[str], allowed: bool
    ) -> None:
        *before, last = path
        become = (
            "UPDATE ret.processor_payout SET state = %(state)s, arrived_on = CASE WHEN"
            " %(state)s IN ('paid', 'reconciled') THEN DATE '2026-05-06' END"
        )
        for state in before:
            app.execute(become, {"state": state})
        if allowed:
            app.execute(become, {"state": last})
        else:
            with pytest.raises(errors.CheckViolation, match="cannot become"):
                app.execute(become, {"state": last})

    def reconcile(self, connection: Connection, payout: UUID) -> Any:
        return one(connection, "SELECT ret.reconcile_payout(%s)", payout)

    def test_charges_are_matched_by_what_the_processor_calls_them(
        self, app: Connection, sold: UUID, payout: UUID
    ) -> None:
        payment = pay(app, sold, 22, processor_reference="ch_1", processing_fee=1)
        self.enter(app, payout, "charge", 22, fee_amount=1, processor_reference="ch_1")
        self.enter(app, payout, "fee", -2)
        app.execute("UPDATE ret.processor_payout SET state = 'paid', arrived_on = '2026-05-06'")
        assert self.reconcile(app, payout) == 0
        assert one(app, "SELECT state FROM ret.processor_payout") == "reconciled"
        matched = one(
            app,
            "SELECT payment_id FROM ret.processor_payout_entry WHERE entry_kind = 'charge'",
        )
        assert matched == payment
        with pytest.raises(errors.CheckViolation, match="its entries stand"), app.transaction():
            self.enter(app, payout, "fee", -1)
        with pytest.raises(errors.CheckViolation, match="the payout is reconciled"):
            self.reconcile(app, payout)

    def test_what_does_not_agree_is_shown(self, app: Connection, sold: UUID, payout: UUID) -> None:
        pay(app, sold, 22, processor_reference="ch_1", processing_fee=1)
        self.enter(app, payout, "charge", 22, fee_amount=2, processor_reference="ch_1")
        self.enter(app, payout, "charge", 9, processor_reference="ch_9")
        app.execute("UPDATE ret.processor_payout SET state = 'paid', arrived_on = '2026-05-06'")
        assert self.reconcile(app, payout) == 2
        shown = app.execute(
            "SELECT match_state, variance_amount, payment_number IS NOT NULL"
            " FROM ret.v_payout_exceptions ORDER BY match_state"
        ).fetchall()
        assert shown == [("unknown", 9, False), ("variance", -1, True)]
        with pytest.raises(errors.CheckViolation, match="2 entries that are not matched"):
            app.execute("UPDATE ret.processor_payout SET state = 'reconciled'")

    def test_a_dispute_is_matched(self, app: Connection, sold: UUID, payout: UUID) -> None:
        row(
            app,
            "ret.payment_dispute",
            payment_id=pay(app, sold, 22),
            dispute_reference="dp_1",
            disputed_amount=22,
            fee_amount=15,
        )
        self.enter(app, payout, "dispute", -22, fee_amount=15, processor_reference="dp_1")
        self.enter(app, payout, "dispute_reversal", 22, processor_reference="dp_1")
        assert self.reconcile(app, payout) == 0
        assert one(app, "SELECT state FROM ret.processor_payout") == "sent"


class TestTaxFiling:
    @pytest.fixture
    def filing(self, app: Connection, sold: UUID) -> UUID:
        app.execute("UPDATE ret.sales_order SET placed_at = '2026-05-01 04:59:59+00'")
        return row(
            app,
            "ret.tax_filing",
            tax_jurisdiction_id=one(app, "SELECT tax_jurisdiction_id FROM ret.tax_jurisdiction"),
        )

    def calculate(self, connection: Connection, filing: UUID) -> Any:
        return one(connection, "SELECT ret.calculate_tax_filing(%s)", filing)

    def test_it_is_what_the_orders_of_the_month_were_taxed(
        self, app: Connection, filing: UUID
    ) -> None:
        assert self.calculate(app, filing) == 2
        found = one(app, "SELECT gross_sales, taxable_sales, state FROM ret.tax_filing")
        assert found == (20, 20, "calculated")
        app.execute("UPDATE ret.sales_order SET placed_at = '2026-05-01 05:00+00'")
        assert self.calculate(app, filing) == 0

    def test_what_others_collect_they_hand_on(self, app: Connection, filing: UUID) -> None:
        app.execute("UPDATE ret.order_tax_line SET collected_by = 'marketplace'")
        assert self.calculate(app, filing) == 0
        assert one(app, "SELECT marketplace_collected FROM ret.tax_filing") == 2

    def test_what_is_filed_stands_until_it_is_amended(
        self, app: Connection, filing: UUID, account: UUID
    ) -> None:
        self.calculate(app, filing)
        app.execute(
            "UPDATE ret.tax_filing SET state = 'filed', filed_at = now(), filed_by_user_id = %s",
            [account],
        )
        with pytest.raises(errors.CheckViolation, match="its figures stand"), app.transaction():
            app.execute("UPDATE ret.tax_filing SET tax_collected = 1")
        with pytest.raises(errors.CheckViolation, match="it is not calculated"), app.transaction():
            self.calculate(app, filing)
        app.execute("UPDATE ret.tax_filing SET state = 'amended'")
        assert self.calculate(app, filing) == 2

    @pytest.mark.parametrize(
        ("change", "truth"),
        [
            ("due_on = period_end", "due_after_period"),
            ("exempt_sales = 1", "sales_bounded"),
            ("vendor_discount = 1", "discount_bounded"),
            ("filed_at = now()", "tax_filing_filed_"),
            ("period_end = '2026-03-01'", "period_in_order"),
        ],
    )
    def test_it_says_what_happened(
        self, app: Connection, filing: UUID, change: str, truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            app.execute(f"UPDATE ret.tax_filing SET {change}".encode())

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (["calculated", "open"], True),
            (["calculated", "filed", "paid"], True),
            (["calculated", "filed", "paid", "amended", "paid"], True),
            (["filed"], False),
            (["calculated", "paid"], False),
            (["calculated", "filed", "open"], False),
        ],
    )
    def test_it_goes_its_way(
        self, app: Connection, filing: UUID, account: UUID, path: list[str], allowed: bool
    ) -> None:
        *before, last = path
        become = (
            "UPDATE ret.tax_filing SET state = %(state)s, filed_by_user_id = %(by)s,"
            " filed_at = CASE WHEN %(state)s IN ('filed', 'paid', 'amended') THEN now() END,"
            " paid_at = CASE WHEN %(state)s IN ('paid', 'amended') THEN now() END"
        )
        for state in before:
            app.execute(become, {"state": state, "by": account})
        if allowed:
            app.execute(become, {"state": last, "by": account})
        else:
            with pytest.raises(errors.CheckViolation, match="cannot become"):
                app.execute(become, {"state": last, "by": account})
