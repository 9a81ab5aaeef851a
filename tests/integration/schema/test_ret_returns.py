"""Goods come back once, within the terms, and no more goes out for them than was paid."""

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
    drawer,
    one,
    open_shop,
    sell,
    shop,
)

__all__ = ["shop"]

CARD = {"tender": "card", "reference": "ch_1"}


@pytest.fixture
def sold(app: Connection, shop: Shop) -> UUID:
    """Ten pieces sold by card for 110, a tenth of it tax."""
    return sell(app, shop, CARD, quantity=10)


def line_of(connection: Connection, sold: UUID) -> Any:
    return one(
        connection,
        "SELECT sales_order_line_id FROM ret.sales_order_line WHERE sales_order_id = %s",
        sold,
    )


def bring(connection: Connection, sold: UUID, quantity: float = 1, **given: Any) -> UUID:
    """A return that lies on the counter, accepted but not inspected."""
    policy = given.pop("policy", {})
    rma = row(
        connection,
        "ret.return_authorisation",
        sales_order_id=sold,
        state="received",
        **{
            "requested_at": "now",
            "received_at": "now",
            "has_receipt": True,
            "return_policy_id": row(connection, "ret.return_policy", **policy),
            **given.pop("rma", {}),
        },
    )
    row(
        connection,
        "ret.return_line",
        return_authorisation_id=rma,
        sales_order_line_id=line_of(connection, sold),
        quantity=quantity,
        acceptance="accepted",
        reception="received",
        **given,
    )
    return rma


def inspect(connection: Connection, rma: UUID, shop: Shop, **given: Any) -> None:
    lines = connection.execute(
        "SELECT return_line_id FROM ret.return_line WHERE return_authorisation_id = %s", [rma]
    ).fetchall()
    for (line,) in lines:
        row(
            connection,
            "ret.return_inspection",
            return_line_id=line,
            location_id=shop.store,
            **{"grade": "a", "disposition": "restock", **given},
        )
    connection.execute(
        "UPDATE ret.return_authorisation SET state = 'inspected'"
        " WHERE return_authorisation_id = %s",
        [rma],
    )


def process(connection: Connection, rma: UUID) -> Any:
    return one(connection, "SELECT * FROM ret.process_return(%s)", rma)


def take_back(
    connection: Connection, sold: UUID, shop: Shop, quantity: float = 1, **given: Any
) -> Any:
    rma = bring(connection, sold, quantity, **given)
    inspect(connection, rma, shop)
    return process(connection, rma)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("return_policy", {"window_days": 731}, "window_days_bounded"),
        ("return_policy", {"exchange_window_days": -1}, "exchange_window_bounded"),
        ("return_policy", {"restocking_fee_pct": 51}, "restocking_fee_pct_bounded"),
    ],
)
def test_terms_are_bounded(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, f"ret.{table}", **columns)


class TestReturn:
    def test_it_is_worth_its_share_of_what_was_paid(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        assert take_back(app, sold, shop, 3) == (Decimal("33.00"), 3)
        found = one(
            app,
            "SELECT unit_refund, tax_refund, fee_amount, line_refund FROM ret.return_line",
        )
        assert found == (10, 3, 0, 33)
        assert one(app, "SELECT on_hand_qty FROM ret.stock_level") == 13
        assert one(app, "SELECT returned_qty FROM ret.sales_order_line") == 3
        rma = one(app, "SELECT state, refund_total, fee_total FROM ret.return_authorisation")
        assert rma == ("completed", 33, 0)

    def test_discounts_come_back_in_proportion(self, app: Connection, shop: Shop) -> None:
        line = {
            "variant": str(shop.variant),
            "quantity": 3,
            "discount": 10,
            "approved_by": str(shop.cashier),
        }
        sold = one(
            app,
            "SELECT ret.complete_pos_sale(%s, %s, %s)",
            shop.session,
            Jsonb({"lines": [line]}),
            Jsonb([CARD]),
        )
        # 20 for three pieces are 6.66 each, and 2 of tax are 0.66 each.
        assert take_back(app, sold, shop)[0] == Decimal("7.32")
        assert take_back(app, sold, shop, 2)[0] == Decimal("14.65")

    def test_all_of_it_closes_the_order(self, app: Connection, shop: Shop, sold: UUID) -> None:
        take_back(app, sold, shop, 10)
        assert one(app, "SELECT state FROM ret.sales_order") == "returned"

    def test_a_fee_is_kept_where_the_customer_is_to_blame(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        fee = {"restocking_fee_pct": 15}
        whims = row(app, "ret.return_reason", fault="customer")
        fault = row(app, "ret.return_reason", fault="product")
        found = take_back(app, sold, shop, 2, policy=fee, return_reason_id=whims)
        assert found[0] == Decimal("19.00")
        assert take_back(app, sold, shop, 2, policy=fee, return_reason_id=fault)[0] == 22

    @pytest.mark.parametrize(
        ("disposition", "grade", "units", "state"),
        [
            ("restock", "b", 1, "available"),
            ("refurbish", "c", 0, "quality_hold"),
            ("outlet", "c", 0, "quality_hold"),
            ("rtv", "d", 0, "quality_hold"),
            ("scrap", "d", 0, None),
            ("donate", "c", 0, None),
            ("recycle", "d", 0, None),
        ],
    )
    def test_goods_go_where_the_inspection_says(
        self,
        app: Connection,
        shop: Shop,
        sold: UUID,
        disposition: str,
        grade: str,
        units: int,
        state: str | None,
    ) -> None:
        rma = bring(app, sold)
        inspect(app, rma, shop, disposition=disposition, grade=grade)
        assert process(app, rma) == (11, units)
        moved = app.execute(
            "SELECT to_state FROM ret.stock_movement WHERE movement_kind = 'return'"
        ).fetchall()
        assert moved == ([(state,)] if state else [])

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"policy": {"window_days": 0}}, "when its window ended"),
            ({"policy": {"requires_receipt": True}, "rma": {"has_receipt": False}}, "no receipt"),
            ({"policy": {"refund_methods": "exchange_only"}}, "may only be exchanged"),
        ],
    )
    def test_terms_hold_unless_somebody_approves(
        self, app: Connection, shop: Shop, sold: UUID, given: dict[str, Any], error: str
    ) -> None:
        app.execute("UPDATE ret.sales_order SET placed_at = now() - interval '1 day'")
        rma = bring(app, sold, **given)
        inspect(app, rma, shop)
        with pytest.raises(errors.CheckViolation, match=error), app.transaction():
            process(app, rma)
        app.execute(
            "UPDATE ret.return_authorisation SET is_outside_policy = true, approved_at = now()"
        )
        assert process(app, rma)[0] == 11

    def test_a_holiday_makes_the_window_longer(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        app.execute("UPDATE ret.sales_order SET placed_at = now() - interval '99 days'")
        terms = {"window_days": 30, "holiday_extension_until": "2999-01-01"}
        assert take_back(app, sold, shop, policy=terms)[0] == 11

    def test_an_exchange_has_its_own_window(self, app: Connection, shop: Shop, sold: UUID) -> None:
        app.execute("UPDATE ret.sales_order SET placed_at = now() - interval '40 days'")
        found = take_back(
            app,
            sold,
            shop,
            policy={"window_days": 30, "exchange_window_days": 60},
            rma={"return_kind": "exchange", "return_location_id": shop.store},
            exchange_variant_id=shop.variant,
        )
        assert found == (0, 1)
        assert one(app, "SELECT price_difference FROM ret.return_line") == 0
        assert one(app, "SELECT on_hand_qty FROM ret.stock_level") == 10
        assert one(app, "SELECT count(*) FROM ret.refund") == 0

    def test_a_cheaper_replacement_gives_the_difference_back(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        cheaper = row(app, "ret.product_variant", list_price=7)
        found = take_back(
            app,
            sold,
            shop,
            2,
            rma={"return_kind": "exchange"},
            exchange_variant_id=cheaper,
        )
        assert found[0] == 6

    def test_it_is_processed_once(self, app: Connection, shop: Shop, sold: UUID) -> None:
        rma = bring(app, sold)
        with pytest.raises(errors.CheckViolation, match="is received"), app.transaction():
            process(app, rma)
        inspect(app, rma, shop)
        process(app, rma)
        with pytest.raises(errors.CheckViolation, match="is completed"):
            process(app, rma)

    def test_every_line_is_decided(self, app: Connection, shop: Shop, sold: UUID) -> None:
        rma = bring(app, sold)
        app.execute("UPDATE ret.return_authorisation SET state = 'inspected'")
        with pytest.raises(errors.CheckViolation, match="nobody decided on"):
            process(app, rma)

    def test_what_is_not_there_is_not_processed(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.NoDataFound, match="no such return"):
            process(app, shop.store)

    def test_points_are_taken_back(self, app: Connection, shop: Shop, sold: UUID) -> None:
        row(
            app,
            "ret.loyalty_entry",
            sales_order_id=sold,
            entry_kind="pending",
            points=100,
        )
        take_back(app, sold, shop, 3)
        taken = "SELECT coalesce(sum(points), 0) FROM ret.loyalty_entry WHERE points < 0"
        assert one(app, taken) == -30
        take_back(app, sold, shop, 7)
        assert one(app, taken) == -100

    def test_a_unit_comes_back_with_its_number(self, app: Connection, shop: Shop) -> None:
        unit = row(
            app,
            "ret.serial_unit",
            product_variant_id=shop.variant,
            location_id=shop.store,
            serial_number="S1",
            state="in_stock",
            received_at="2020-01-01",
        )
        lines = [{"variant": str(shop.variant), "serial": str(unit)}]
        sold = one(
            app,
            "SELECT ret.complete_pos_sale(%s, %s, %s)",
            shop.session,
            Jsonb({"lines": lines}),
            Jsonb([CARD]),
        )
        rma = bring(app, sold, serial_unit_id=unit)
        with pytest.raises(errors.CheckViolation, match="serial number matches"), app.transaction():
            inspect(app, rma, shop)
        with pytest.raises(errors.CheckViolation, match="not sold here"), app.transaction():
            inspect(app, rma, shop, serial_matches=False)
        inspect(app, rma, shop, serial_matches=True)
        process(app, rma)
        assert one(app, "SELECT state, location_id FROM ret.serial_unit") == (
            "in_stock",
            shop.store,
        )


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"completed_at": "2036-01-01"}, "completed_has_time"),
        ({"received_at": "2036-01-01"}, "received_has_time"),
        ({"approved_at": "2020-01-01"}, "approved_after_request"),
        ({"is_outside_policy": True, "state": "approved"}, "exception_is_approved"),
        ({"fraud_score": 101}, "fraud_score_bounded"),
        ({"refund_total": -1}, "amounts_not_negative"),
        (
            {"state": "received", "received_at": "2020-01-01"},
            "requested_at_in_order",
        ),
    ],
)
def test_a_return_says_what_happened(
    app: Connection, sold: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "ret.return_authorisation", sales_order_id=sold, **columns)


EDGES = {
    "requested": {"approved", "rejected", "cancelled"},
    "approved": {"in_transit", "received", "cancelled"},
    "in_transit": {"received", "cancelled"},
    "received": {"inspected"},
    "inspected": {"completed"},
    "completed": set(),
    "rejected": set(),
    "cancelled": set(),
}
WAYS = {
    "requested": [],
    "approved": ["approved"],
    "in_transit": ["approved", "in_transit"],
    "received": ["approved", "received"],
    "inspected": ["approved", "received", "inspected"],
    "completed": ["approved", "received", "inspected", "completed"],
    "rejected": ["rejected"],
    "cancelled": ["cancelled"],
}


@pytest.mark.parametrize("end", sorted(EDGES))
@pytest.mark.parametrize("start", sorted(EDGES))
def test_a_return_goes_its_way(app: Connection, sold: UUID, start: str, end: str) -> None:
    row(app, "ret.return_authorisation", sales_order_id=sold, requested_at="now")
    become = (
        "UPDATE ret.return_authorisation SET state = %(state)s, received_at = CASE WHEN"
        " %(state)s IN ('received', 'inspected', 'completed') THEN now() END,"
        " completed_at = CASE WHEN %(state)s = 'completed' THEN now() END"
    )
    for state in WAYS[start]:
        app.execute(become, {"state": state})
    if end in EDGES[start] | {start}:
        app.execute(become, {"state": end})
        assert one(app, "SELECT state FROM ret.return_authorisation") == end
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(become, {"state": end})


class TestLines:
    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"quantity": 0}, "quantity_positive"),
            ({"unit_refund": -1}, "amounts_not_negative"),
            ({"fee_amount": 1}, "amounts_not_negative"),
            ({"price_difference": 1}, "difference_of_exchange"),
        ],
    )
    def test_a_line_says_what_it_is(
        self, app: Connection, sold: UUID, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            bring(app, sold, **columns)

    def test_no_more_comes_back_than_went_out(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        take_back(app, sold, shop, 4)
        bring(app, sold, 5)
        with pytest.raises(errors.CheckViolation, match=r"only 1\.0000 can still come back, not 2"):
            bring(app, sold, 2)

    def test_what_is_refused_or_lost_does_not_count(self, app: Connection, sold: UUID) -> None:
        bring(app, sold, 10)
        app.execute("UPDATE ret.return_line SET acceptance = 'rejected'")
        bring(app, sold, 10)

    def test_it_is_of_the_order_of_the_return(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        rma = row(app, "ret.return_authorisation", sales_order_id=sell(app, shop))
        with pytest.raises(errors.CheckViolation, match="the line is of another order"):
            row(
                app,
                "ret.return_line",
                return_authorisation_id=rma,
                sales_order_line_id=line_of(app, sold),
            )

    def test_nothing_is_added_to_a_closed_return(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        rma = bring(app, sold)
        inspect(app, rma, shop)
        process(app, rma)
        with pytest.raises(errors.CheckViolation, match="nothing is added to it"):
            row(
                app,
                "ret.return_line",
                return_authorisation_id=rma,
                sales_order_line_id=line_of(app, sold),
            )

    @pytest.mark.parametrize(
        ("column", "start", "end"),
        [
            ("acceptance", "rejected", "accepted"),
            ("acceptance", "rejected", "pending"),
            ("acceptance", "accepted", "pending"),
            ("reception", "received", "lost"),
            ("reception", "received", "awaiting"),
        ],
    )
    def test_what_is_decided_stays(
        self, app: Connection, sold: UUID, column: str, start: str, end: str
    ) -> None:
        bring(app, sold)
        app.execute(f"UPDATE ret.return_line SET {column} = %s".encode(), [start])
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(f"UPDATE ret.return_line SET {column} = %s".encode(), [end])

    def test_what_has_not_come_is_not_inspected(
        self, app: Connection, shop: Shop, sold: UUID
    ) -> None:
        rma = row(app, "ret.return_authorisation", sales_order_id=sold)
        row(
            app,
            "ret.return_line",
            return_authorisation_id=rma,
            sales_order_line_id=line_of(app, sold),
        )
        with pytest.raises(errors.CheckViolation, match="the line is awaiting"):
            inspect(app, rma, shop)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"grade": "c"}, "restock_as_new"),
            ({"write_down_amount": -1}, "write_down_amount_not_negative"),
            ({"photo_count": -1}, "counts_not_negative"),
        ],
    )
    def test_a_grade_says_where_it_goes(
        self, app: Connection, shop: Shop, sold: UUID, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            inspect(app, bring(app, sold), shop, **columns)

    def test_two_desks_do_not_take_it_back_twice(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            cashier = add_account(connection, tenant, "ada")
            become_app(connection, tenant)
            sold = sell(connection, open_shop(connection, cashier), CARD, quantity=10)
            rmas = [
                row(connection, "ret.return_authorisation", sales_order_id=sold) for _ in range(6)
            ]
            line = line_of(connection, sold)
            reason = row(connection, "ret.return_reason")

        def ask(number: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    row(
                        connection,
                        "ret.return_line",
                        return_authorisation_id=rmas[number],
                        sales_order_line_id=line,
                        return_reason_id=reason,
                        quantity=4,
                    )
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(ask, range(6))) == 2


def refund(connection: Connection, sold: UUID, amount: float, **given: Any) -> UUID:
    return row(
        connection,
        "ret.refund",
        sales_order_id=sold,
        amount=amount,
        requested_at="now",
        **given,
    )


DONE = {"state": "completed", "completed_at": "now"}


def to_card(connection: Connection, sold: UUID, amount: float, **given: Any) -> UUID:
    payment = one(
        connection, "SELECT payment_id FROM ret.payment WHERE sales_order_id = %s LIMIT 1", sold
    )
    return refund(
        connection,
        sold,
        amount,
        payment_id=payment,
        refund_method="original_tender",
        **given,
    )


class TestRefund:
    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"amount": 0}, "amount_positive"),
            ({"refund_method": "original_tender"}, "original_tender_is_named"),
            ({"refund_method": "store_credit"}, "store_credit_is_named"),
            ({"refund_method": "gift_card"}, "gift_card_is_named"),
            ({"refund_method": "cash"}, "cash_out_of_a_drawer"),
            ({"tax_amount": 4, "shipping_amount": 2}, "parts_within_amount"),
            ({"reason": "return"}, "return_is_named"),
            ({"reason": "goodwill"}, "goodwill_is_approved"),
            ({"completed_at": "2036-01-01"}, "completed_has_time"),
            ({"state": "completed", "completed_at": "2020-01-01"}, "completed_after_request"),
        ],
    )
    def test_it_says_what_it_is(
        self, app: Connection, sold: UUID, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            refund(app, sold, columns.pop("amount", 5), **columns)

    def test_it_is_refunded_on_payment_and_order(self, app: Connection, sold: UUID) -> None:
        to_card(app, sold, 10, **DONE)
        assert one(app, "SELECT refunded_amount, state FROM ret.payment") == (10, "partly_refunded")
        found = one(app, "SELECT refunded_total, payment_state FROM ret.sales_order")
        assert found == (10, "partly_refunded")
        to_card(app, sold, 100, **DONE)
        assert one(app, "SELECT refunded_amount, state FROM ret.payment") == (110, "refunded")
        assert one(app, "SELECT payment_state FROM ret.sales_order") == "refunded"

    def test_it_gives_back_at_most_what_was_paid(self, app: Connection, sold: UUID) -> None:
        refund(app, sold, 60, **DONE)
        with pytest.raises(errors.CheckViolation, match=r"was paid 110\.00, refunds .* 110\.01"):
            to_card(app, sold, 50.01)

    def test_one_that_is_asked_for_counts_until_it_fails(self, app: Connection, sold: UUID) -> None:
        to_card(app, sold, 110, state="approved")
        with pytest.raises(errors.CheckViolation, match="would give back"), app.transaction():
            refund(app, sold, 1)
        app.execute("UPDATE ret.refund SET state = 'failed'")
        refund(app, sold, 110)
        with pytest.raises(errors.CheckViolation, match="refunds would give back"):
            app.execute("UPDATE ret.refund SET state = 'approved'")

    def test_a_payment_gives_back_what_it_took(self, app: Connection, shop: Shop) -> None:
        sold = sell(app, shop, {"tender": "cash", "amount": 2}, {"tender": "card"})
        cash = one(app, "SELECT payment_id FROM ret.payment WHERE tender = 'cash'")
        with pytest.raises(errors.CheckViolation, match=r"was paid 2\.00, refunds"):
            refund(app, sold, 3, payment_id=cash, refund_method="original_tender")

    def test_it_is_of_a_payment_of_the_order(self, app: Connection, shop: Shop, sold: UUID) -> None:
        other = one(
            app,
            "SELECT payment_id FROM ret.payment WHERE sales_order_id = %s",
            sell(app, shop),
        )
        with pytest.raises(errors.CheckViolation, match="the payment is of another order"):
            refund(app, sold, 1, payment_id=other, refund_method="original_tender")

    def test_cash_comes_out_of_the_drawer(self, app: Connection, shop: Shop) -> None:
        sold = sell(app, shop, CASH)
        with pytest.raises(errors.CheckViolation, match="out of a drawer"), app.transaction():
            to_card(app, sold, 5, **DONE)
        to_card(app, sold, 5, register_session_id=shop.session, **DONE)
        refund(
            app,
            sold,
            7,
            refund_method="cash",
            register_session_id=shop.session,
            **DONE,
        )
        assert drawer(app) == 110
        refunded = one(
            app, "SELECT refunded FROM ret.v_register_reconciliation WHERE tender = 'cash'"
        )
        assert refunded == 12

    def test_not_out_of_an_empty_drawer(self, app: Connection, shop: Shop, sold: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match=r"would hold -5\.00"):
            refund(
                app,
                sold,
                105,
                refund_method="cash",
                register_session_id=shop.session,
                **DONE,
            )

    def test_credit_is_written_to_its_ledger(self, app: Connection, shop: Shop, sold: UUID) -> None:
        customer = row(app, "ret.customer")
        rma = {"customer_id": customer}
        take_back(app, sold, shop, policy={"refund_methods": "store_credit"}, rma=rma)
        assert one(app, "SELECT initial_amount, credit_kind FROM ret.store_credit") == (
            11,
            "return",
        )
        entry = one(
            app,
            "SELECT entry_kind, amount FROM ret.store_credit_entry WHERE entry_kind = 'issue'",
        )
        assert entry == ("issue", 11)
        assert one(app, "SELECT payment_state FROM ret.sales_order") == "partly_refunded"

    def test_a_gift_card_is_loaded_with_it(self, app: Connection, sold: UUID) -> None:
        card = row(app, "ret.gift_card", currency="USD")
        row(app, "ret.gift_card_entry", gift_card_id=card, entry_kind="activate", amount=50)
        refund(app, sold, 5, refund_method="gift_card", gift_card_id=card, **DONE)
        entry = one(
            app,
            "SELECT entry_kind, amount, balance_after FROM ret.gift_card_entry"
            " WHERE gift_card_id = %s AND entry_no = 2",
            card,
        )
        assert entry == ("load", 5, 55)

    def test_it_goes_back_the_way_it_came(self, app: Connection, shop: Shop) -> None:
        sold = sell(app, shop, {"tender": "cash", "amount": 12}, {"tender": "card"})
        app.execute("UPDATE ret.payment SET captured_at = captured_at + interval '1 s'"
                    " WHERE tender = 'card'")  # fmt: skip
        receipt = one(app, "SELECT pos_transaction_id FROM ret.pos_transaction")
        take_back(app, sold, shop, 2, rma={"pos_transaction_id": receipt})
        found = app.execute(
            "SELECT p.tender, f.amount, f.tax_amount, f.state FROM ret.refund AS f"
            " JOIN ret.payment AS p USING (business_id, payment_id) ORDER BY p.tender"
        ).fetchall()
        assert found == [
            ("card", 10, Decimal("0.91"), "approved"),
            ("cash", 12, Decimal("1.09"), "completed"),
        ]
        assert drawer(app) == 100

    def test_the_processor_completes_it(self, app: Connection, sold: UUID) -> None:
        made = to_card(app, sold, 10, state="approved")
        settle = "SELECT ret.settle_refund(%s, 're_1', %s)"
        assert one(app, settle, made, "pending") == "processing"
        assert one(app, settle, made, "approved") == "completed"
        assert one(app, "SELECT refunded_amount FROM ret.payment") == 10
        tried = app.execute(
            "SELECT outcome FROM ret.payment_attempt WHERE operation = 'refund' ORDER BY 1"
        ).fetchall()
        assert tried == [("approved",), ("pending",)]

    def test_the_processor_may_refuse_it(self, app: Connection, sold: UUID) -> None:
        made = to_card(app, sold, 10, state="approved")
        refused = one(app, "SELECT ret.settle_refund(%s, 're_1', 'declined')", made)
        assert refused == "failed"
        assert one(app, "SELECT refunded_amount FROM ret.payment") == 0

    def test_cash_goes_through_no_processor(self, app: Connection, sold: UUID) -> None:
        made = refund(app, sold, 5, state="approved")
        with pytest.raises(errors.CheckViolation, match="goes through no processor"):
            app.execute("SELECT ret.settle_refund(%s, 're_1')", [made])

    def test_what_is_given_back_is_gone(self, app: Connection, sold: UUID) -> None:
        to_card(app, sold, 10, **DONE)
        for change in ("UPDATE ret.refund SET amount = 1", "DELETE FROM ret.refund"):
            with pytest.raises(errors.CheckViolation, match="it stands"), app.transaction():
                app.execute(change.encode())

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (["approved", "processing", "completed"], True),
            (["approved", "processing", "failed", "approved"], True),
            (["approved", "completed"], True),
            (["rejected"], True),
            (["processing"], False),
            (["failed"], False),
            (["completed"], False),
            (["rejected", "approved"], False),
            (["approved", "processing", "rejected"], False),
        ],
    )
    def test_it_goes_its_way(
        self, app: Connection, sold: UUID, path: list[str], allowed: bool
    ) -> None:
        refund(app, sold, 5)
        *before, last = path
        become = (
            "UPDATE ret.refund SET state = %(state)s,"
            " completed_at = CASE WHEN %(state)s = 'completed' THEN now() END"
        )
        for state in before:
            app.execute(become, {"state": state})
        if allowed:
            app.execute(become, {"state": last})
        else:
            with pytest.raises(errors.CheckViolation, match="cannot become"):
                app.execute(become, {"state": last})

    def test_it_is_found_in_the_payout(self, app: Connection, sold: UUID) -> None:
        to_card(app, sold, 10, processor_reference="re_1", **DONE)
        payout = row(app, "ret.processor_payout", state="sent")
        row(
            app,
            "ret.processor_payout_entry",
            processor_payout_id=payout,
            entry_kind="refund",
            gross_amount=-10,
            processor_reference="re_1",
        )
        assert one(app, "SELECT ret.reconcile_payout(%s)", payout) == 0

    def test_two_desks_do_not_refund_it_twice(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            cashier = add_account(connection, tenant, "ada")
            become_app(connection, tenant)
            sold = sell(connection, open_shop(connection, cashier), CARD, quantity=10)

        def ask(_: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    to_card(connection, sold, 30, **DONE)
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(ask, range(6))) == 3
        with psycopg.connect(target.admin) as connection:
            assert one(connection, "SELECT refunded_total FROM ret.sales_order") == 90


def test_the_service_desk_sees_an_order(app: Connection, shop: Shop, sold: UUID) -> None:
    take_back(app, sold, shop, 2)
    bring(app, sold, 1)
    found = one(
        app,
        "SELECT state, units, units_returned, parts, open_returns, refunds_open, refund_open_total"
        " FROM ret.v_order_overview",
    )
    assert found == ("completed", 10, 2, 0, 1, 1, 22)
