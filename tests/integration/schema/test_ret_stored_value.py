"""Gift cards and store credits are worth what their ledgers say, and are never spent twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_ret_inventory import moves
from tests.integration.schema.test_ret_payments import pay
from tests.integration.schema.test_ret_point_of_sale import (
    Shop,
    one,
    open_shop,
    order,
    sell,
    shop,
)
from tests.integration.schema.test_ret_returns import DONE, refund, take_back

__all__ = ["shop"]

CARD = {
    "inactive": {"active", "blocked"},
    "active": {"depleted", "blocked", "expired"},
    "depleted": {"active", "blocked"},
    "blocked": {"active", "depleted", "expired"},
    "expired": set(),
}
CREDIT = {
    "active": {"used", "expired", "void"},
    "used": {"active"},
    "expired": set(),
    "void": set(),
}
EMPTY = "balance_amount = 0, activated_at = now()"
CARD_SHAPES = {
    "inactive": "balance_amount = 0, activated_at = NULL",
    "active": "balance_amount = 5, activated_at = now()",
    "depleted": EMPTY,
    "blocked": EMPTY,
    "expired": f"{EMPTY}, card_kind = 'promotional', expires_on = '2020-01-01'",
}
CREDIT_SHAPES = {"expired": "balance_amount = 0, expires_on = '2036-01-01'"}
SIGNS = {
    "activate": 9,
    "load": 9,
    "redeem": -5,
    "refund": 5,
    "adjust": 5,
    "block": 0,
    "expire": -10,
    "transfer_in": 5,
    "transfer_out": -5,
}


def post(connection: Connection, card: UUID, kind: str, amount: float, **given: Any) -> UUID:
    """An entry of a gift card."""
    return row(
        connection,
        "ret.gift_card_entry",
        gift_card_id=card,
        entry_kind=kind,
        amount=amount,
        **{"occurred_at": "now", "note": "because", **given},
    )


def credit_post(
    connection: Connection, credit: UUID, kind: str, amount: float, **given: Any
) -> UUID:
    """An entry of a store credit."""
    return row(
        connection,
        "ret.store_credit_entry",
        store_credit_id=credit,
        entry_kind=kind,
        amount=amount,
        **{"occurred_at": "now", **given},
    )


def gift_card(connection: Connection, amount: float = 50, **given: Any) -> UUID:
    """A card that was activated with an amount."""
    card = row(connection, "ret.gift_card", currency="USD", **given)
    post(connection, card, "activate", amount)
    return card


def credit_note(connection: Connection, amount: float = 50, **given: Any) -> UUID:
    """A credit that was issued over an amount."""
    credit = row(connection, "ret.store_credit", currency="USD", **{"issued_at": "now", **given})
    credit_post(connection, credit, "issue", amount)
    return credit


def worth(connection: Connection, card: UUID) -> Any:
    return one(
        connection,
        "SELECT state, balance_amount FROM ret.gift_card WHERE gift_card_id = %s",
        card,
    )


def left(connection: Connection, credit: UUID) -> Any:
    return one(
        connection,
        "SELECT state, balance_amount, held_amount FROM ret.store_credit"
        " WHERE store_credit_id = %s",
        credit,
    )


def differences(connection: Connection, of: str) -> list[Any]:
    return connection.execute(
        f"SELECT figure, said, found FROM ret.{of}_differences() ORDER BY 1".encode()
    ).fetchall()


def change(connection: Connection, statement: str) -> None:
    """Changes rows behind the back of every trigger."""
    connection.execute("RESET ROLE")
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute(statement.encode())
    connection.execute("SET LOCAL session_replication_role = origin")
    connection.execute("SET LOCAL ROLE app_user")


@pytest.fixture
def card(app: Connection) -> UUID:
    """A physical card with 50 on it."""
    return gift_card(app)


@pytest.fixture
def credit(app: Connection) -> UUID:
    """A credit with 50 on it."""
    return credit_note(app)


def edges(machine: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    return [(before, after) for before in machine for after in sorted(machine[before])]


class TestCard:
    """A card goes from blank to spent; what is on it follows its entries."""

    @pytest.mark.parametrize(("before", "after"), edges(CARD))
    def test_it_may_become(self, app: Connection, before: str, after: str) -> None:
        gift_card(app)
        assert moves(app, "ret.gift_card", "state", before, after, CARD_SHAPES)

    @pytest.mark.parametrize(("before", "after"), refused(CARD))
    def test_it_may_not_become(self, app: Connection, before: str, after: str) -> None:
        gift_card(app)
        assert not moves(app, "ret.gift_card", "state", before, after, CARD_SHAPES)

    @pytest.mark.parametrize("state", ["active", "depleted", "blocked", "expired"])
    def test_it_starts_blank(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start as"):
            row(app, "ret.gift_card", state=state)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"card_kind": "paper"}, "kind_known"),
            ({"balance_amount": 1}, "balance_within_loaded"),
            ({"balance_amount": -1}, "balance_within_loaded"),
            ({"initial_amount": 1}, "initial_within_loaded"),
            ({"balance_amount": 1, "loaded_amount": 1}, "worth_by_state"),
            ({"state": "active", "activated_at": "now"}, "worth_by_state"),
            ({"expires_on": "2036-01-01"}, "only_gifts_expire"),
            ({"state": "expired", "activated_at": "now"}, "expired_had_a_day"),
            ({"state": "depleted"}, "active_has_time"),
            ({"card_last4": "42"}, "last4_is_four_digits"),
            ({"card_number_hash": "6006 4912 0000 0042"}, "keeps_no_number"),
            ({"deliver_at": "now"}, "delivered_by_mail"),
        ],
    )
    def test_its_row_is_whole(self, app: Connection, columns: dict[str, Any], truth: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f"gift_card_{truth}"):
            imported(app, "ret.gift_card", **columns)

    @pytest.mark.parametrize(
        ("kind", "amount", "truth"),
        [
            ("activate", -1, "sign_by_kind"),
            ("load", -1, "sign_by_kind"),
            ("redeem", 1, "sign_by_kind"),
            ("refund", -1, "sign_by_kind"),
            ("adjust", 0, "sign_by_kind"),
            ("block", 1, "sign_by_kind"),
            ("transfer_in", -1, "sign_by_kind"),
            ("transfer_out", 1, "sign_by_kind"),
            ("expire", 1, "sign_by_kind"),
            ("expire", -1, "expires_to_nothing"),
        ],
    )
    def test_an_entry_has_the_sign_of_its_kind(
        self, app: Connection, card: UUID, kind: str, amount: float, truth: str
    ) -> None:
        app.execute("RESET ROLE")
        app.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(errors.CheckViolation, match=f"gift_card_entry_{truth}"):
            post(app, card, kind, amount, entry_no=9, balance_after=int(truth != "sign_by_kind"))

    @pytest.mark.parametrize("kind", ["adjust", "block"])
    def test_what_is_unusual_says_why(self, app: Connection, card: UUID, kind: str) -> None:
        with pytest.raises(errors.CheckViolation, match="entry_says_why"):
            post(app, card, kind, SIGNS[kind], note=" ")

    def test_it_follows_its_entries(self, app: Connection, card: UUID) -> None:
        post(app, card, "load", 25)
        post(app, card, "redeem", -60)
        post(app, card, "refund", 10)
        post(app, card, "adjust", -5)
        found = one(
            app, "SELECT state, balance_amount, initial_amount, loaded_amount FROM ret.gift_card"
        )
        assert found == ("active", 20, 50, 75)
        entries = app.execute(
            "SELECT entry_no, balance_after FROM ret.gift_card_entry ORDER BY entry_no"
        ).fetchall()
        assert entries == [(1, 50), (2, 75), (3, 15), (4, 25), (5, 20)]
        assert differences(app, "gift_card") == []

    def test_what_is_empty_is_worth_something_again(self, app: Connection, card: UUID) -> None:
        post(app, card, "redeem", -50)
        assert worth(app, card) == ("depleted", 0)
        post(app, card, "refund", 20)
        assert worth(app, card) == ("active", 20)

    def test_it_pays_no_more_than_is_on_it(self, app: Connection, card: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match=r"redeem of -50\.01 is .* worth 50\.00"):
            post(app, card, "redeem", -50.01)

    def test_a_refund_gives_no_more_than_was_spent(self, app: Connection, card: UUID) -> None:
        post(app, card, "redeem", -20)
        with pytest.raises(errors.CheckViolation, match="balance_within_loaded"):
            post(app, card, "refund", 20.01)

    def test_a_key_is_used_once(self, app: Connection, card: UUID) -> None:
        post(app, card, "redeem", -5, idempotency_key="payment 1")
        with pytest.raises(errors.UniqueViolation), app.transaction():
            post(app, card, "redeem", -5, idempotency_key="payment 1")
        assert worth(app, card) == ("active", 45)

    @pytest.mark.parametrize(
        ("state", "takes"),
        [
            ("inactive", {"activate", "transfer_in", "block"}),
            (
                "active",
                {"load", "redeem", "refund", "adjust", "block", "transfer_in", "transfer_out"},
            ),
            ("depleted", {"load", "refund", "adjust", "block", "transfer_in"}),
            ("blocked", {"refund", "adjust", "transfer_out"}),
            ("expired", set()),
        ],
    )
    def test_a_state_takes_what_fits(self, app: Connection, state: str, takes: set[str]) -> None:
        lapses = {"card_kind": "promotional", "expires_on": "2020-01-01"}
        card = row(app, "ret.gift_card", currency="USD", **(lapses if state == "expired" else {}))
        if state != "inactive":
            post(app, card, "activate", 20)
            post(app, card, "redeem", -10) if state != "expired" else None
        if state == "depleted":
            post(app, card, "redeem", -10)
            post(app, card, "load", 10)
            post(app, card, "redeem", -10)
        elif state == "blocked":
            post(app, card, "block", 0)
        elif state == "expired":
            post(app, card, "expire", -20)
        assert worth(app, card)[0] == state
        taken = set()
        for kind, amount in SIGNS.items():
            try:
                with app.transaction(force_rollback=True):
                    post(app, card, kind, amount)
            except (errors.CheckViolation, errors.UniqueViolation):
                continue
            taken.add(kind)
        assert taken == takes

    def test_it_is_activated_once(self, app: Connection, card: UUID) -> None:
        app.execute("RESET ROLE")
        with pytest.raises(errors.UniqueViolation, match="activated_once"):
            post(app, card, "activate", 5)

    def test_a_lost_one_is_blocked_and_cleared(self, app: Connection, card: UUID) -> None:
        post(app, card, "block", 0)
        with pytest.raises(errors.CheckViolation, match="it is blocked"), app.transaction():
            post(app, card, "redeem", -1)
        app.execute("UPDATE ret.gift_card SET state = 'active'")
        post(app, card, "redeem", -1)
        assert worth(app, card) == ("active", 49)

    def test_what_is_blocked_is_not_cleared_for_less(self, app: Connection, card: UUID) -> None:
        post(app, card, "block", 0)
        with pytest.raises(errors.CheckViolation, match="worth_by_state"):
            app.execute("UPDATE ret.gift_card SET state = 'depleted'")

    def test_nobody_writes_its_balance(self, app: Connection, card: UUID) -> None:
        for column in ("balance_amount", "loaded_amount", "initial_amount"):
            with (
                pytest.raises(errors.RestrictViolation, match="follows its ledger"),
                app.transaction(),
            ):
                app.execute(
                    sql.SQL("UPDATE ret.gift_card SET {0} = {0} - 1").format(sql.Identifier(column))
                )
        with pytest.raises(errors.RestrictViolation, match="follows its ledger"):
            row(app, "ret.gift_card", loaded_amount=5)

    def test_its_ledger_stands(self, app: Connection, card: UUID) -> None:
        for statement in (
            "UPDATE ret.gift_card_entry SET amount = 60",
            "DELETE FROM ret.gift_card_entry",
        ):
            with pytest.raises(errors.InsufficientPrivilege), app.transaction():
                app.execute(statement.encode())
        app.execute("RESET ROLE")
        for statement in (
            "UPDATE ret.gift_card_entry SET amount = 60",
            "DELETE FROM ret.gift_card_entry",
        ):
            with pytest.raises(errors.RestrictViolation, match="append only"), app.transaction():
                app.execute(statement.encode())

    def test_it_holds_one_kind_of_money(self, app: Connection, shop: Shop, card: UUID) -> None:
        sold = row(app, "ret.sales_order", currency="EUR")
        with pytest.raises(errors.CheckViolation, match="its money is USD"):
            post(app, card, "redeem", -1, sales_order_id=sold)

    def test_history_is_true_as_well(self, app: Connection, card: UUID) -> None:
        post(app, card, "block", 0)
        app.execute("RESET ROLE")
        post(app, card, "redeem", -20)
        assert worth(app, card) == ("blocked", 30)
        with pytest.raises(errors.CheckViolation, match="it is worth 30"):
            post(app, card, "redeem", -30.01)

    @pytest.mark.parametrize(
        ("statement", "figures"),
        [
            ("UPDATE ret.gift_card SET balance_amount = 39", {"balance_amount"}),
            ("UPDATE ret.gift_card SET loaded_amount = 60", {"loaded_amount"}),
            ("UPDATE ret.gift_card SET initial_amount = 49", {"initial_amount"}),
            (
                "UPDATE ret.gift_card_entry SET amount = -9 WHERE entry_no = 2",
                {"balance_amount", "balance_after of 2", "balance_after of 3"},
            ),
            (
                "DELETE FROM ret.gift_card_entry WHERE entry_no = 2",
                {"balance_amount", "entry_no", "balance_after of 3"},
            ),
            (
                "UPDATE ret.gift_card_entry SET entry_kind = 'load', amount = 5 WHERE entry_no = 3",
                {"loaded_amount"},
            ),
        ],
    )
    def test_what_is_wrong_is_found(
        self, app: Connection, card: UUID, statement: str, figures: set[str]
    ) -> None:
        post(app, card, "redeem", -15)
        post(app, card, "refund", 5)
        assert differences(app, "gift_card") == []
        change(app, statement)
        assert {figure for figure, _, _ in differences(app, "gift_card")} == figures

    def test_promotional_ones_lapse(self, app: Connection) -> None:
        over = {"card_kind": "promotional", "expires_on": "2020-01-01"}
        card = gift_card(app, **over)
        lost = gift_card(app, **over)
        post(app, lost, "block", 0)
        good = gift_card(app, card_kind="promotional", expires_on="2099-01-01")
        with pytest.raises(errors.CheckViolation, match="good until 2020-01-01"), app.transaction():
            post(app, card, "redeem", -1)
        with pytest.raises(errors.CheckViolation, match="still good"), app.transaction():
            post(app, good, "expire", -50)
        assert one(app, "SELECT ret.expire_stored_value()") == 2
        assert [worth(app, x) for x in (card, lost, good)] == [
            ("expired", 0),
            ("expired", 0),
            ("active", 50),
        ]
        assert one(app, "SELECT ret.expire_stored_value()") == 0

    def test_it_is_good_through_its_last_day(self, app: Connection) -> None:
        card = row(app, "ret.gift_card", currency="USD", card_kind="promotional")
        app.execute("UPDATE ret.gift_card SET expires_on = ret.business_day()")
        post(app, card, "activate", 5)
        assert one(app, "SELECT ret.expire_stored_value()") == 0
        post(app, card, "redeem", -1)
        assert one(app, "SELECT ret.expire_stored_value(now() + interval '1 day')") == 1

    def test_the_day_is_where_the_business_is(self, app: Connection) -> None:
        found = one(app, "SELECT ret.business_day('2026-06-02 03:00+00')::text")
        assert found == "2026-06-01"


class TestSale:
    """A card is activated for what an order paid for it, and no more."""

    ACTIVATE = "SELECT ret.sell_gift_card(%s, %s, '0042', %s)"

    @pytest.fixture
    def sold(self, app: Connection, shop: Shop) -> UUID:
        """A sale of two gift cards for 10 each."""
        app.execute("UPDATE ret.product SET product_kind = 'gift_card'")
        return sell(app, shop)

    def test_it_is_worth_what_was_paid(self, app: Connection, shop: Shop, sold: UUID) -> None:
        blank = row(app, "ret.gift_card", currency="USD", card_number_hash="blank")
        assert one(app, self.ACTIVATE, sold, "blank", 10) == blank
        new = one(app, self.ACTIVATE, sold, "new", 10)
        assert [worth(app, card) for card in (blank, new)] == [("active", 10)] * 2
        found = app.execute(
            "SELECT card_kind, issued_by_order_id FROM ret.gift_card ORDER BY card_kind"
        ).fetchall()
        assert found == [("digital", sold), ("physical", sold)]
        assert one(app, "SELECT DISTINCT location_id FROM ret.gift_card_entry") == shop.store

    def test_nobody_activates_more(self, app: Connection, sold: UUID) -> None:
        app.execute(self.ACTIVATE, [sold, "first", 15])
        with pytest.raises(errors.CheckViolation, match=r"has 5\.00 of gift cards to activate"):
            app.execute(self.ACTIVATE, [sold, "second", Decimal("5.01")])

    def test_other_goods_are_no_gift_cards(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="has 0 of gift cards to activate"):
            app.execute(self.ACTIVATE, [sell(app, shop), "first", 1])

    def test_it_is_paid_first(self, app: Connection, shop: Shop) -> None:
        app.execute("UPDATE ret.product SET product_kind = 'gift_card'")
        with pytest.raises(errors.CheckViolation, match="is unpaid"):
            app.execute(self.ACTIVATE, [order(app, shop), "first", 10])

    def test_a_card_is_sold_once(self, app: Connection, card: UUID, sold: UUID) -> None:
        number = one(app, "SELECT card_number_hash FROM ret.gift_card")
        with pytest.raises(errors.CheckViolation, match="it is active"):
            app.execute(self.ACTIVATE, [sold, number, 10])


class TestTransfer:
    MOVE = "SELECT ret.transfer_gift_card(%s, %s, %s, %s)"

    def test_a_new_card_replaces_a_lost_one(self, app: Connection, card: UUID) -> None:
        new = row(app, "ret.gift_card", currency="USD")
        post(app, card, "block", 0)
        for _ in range(2):
            app.execute(self.MOVE, [card, new, 50, "T1"])
        assert worth(app, card) == ("blocked", 0)
        assert worth(app, new) == ("active", 50)
        assert differences(app, "gift_card") == []

    def test_it_moves_no_more_than_there_is(self, app: Connection, card: UUID) -> None:
        new = row(app, "ret.gift_card", currency="USD")
        with pytest.raises(errors.CheckViolation, match="it is worth 50"):
            app.execute(self.MOVE, [card, new, 51, "T1"])

    @pytest.mark.parametrize(
        "other", [{"currency": "EUR"}, {"currency": "USD", "card_kind": "promotional"}]
    )
    def test_both_hold_the_same_money(
        self, app: Connection, card: UUID, other: dict[str, Any]
    ) -> None:
        new = row(app, "ret.gift_card", **other)
        with pytest.raises(errors.CheckViolation, match="hold different money"):
            app.execute(self.MOVE, [card, new, 5, "T1"])

    def test_it_is_between_two_cards(self, app: Connection, card: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="the cards are one"):
            app.execute(self.MOVE, [card, card, 5, "T1"])

    def test_what_left_comes_somewhere(self, app: Connection, card: UUID) -> None:
        post(app, card, "transfer_out", -5, idempotency_key="out T9")
        assert ("transfer T9", 0, -5) in differences(app, "gift_card")


class TestCredit:
    """A credit is owed to a customer; orders hold it and take it."""

    @pytest.mark.parametrize(("before", "after"), edges(CREDIT))
    def test_it_may_become(self, app: Connection, before: str, after: str) -> None:
        row(app, "ret.store_credit", issued_at="now")
        assert moves(app, "ret.store_credit", "state", before, after, CREDIT_SHAPES)

    @pytest.mark.parametrize(("before", "after"), refused(CREDIT))
    def test_it_may_not_become(self, app: Connection, before: str, after: str) -> None:
        row(app, "ret.store_credit", issued_at="now")
        assert not moves(app, "ret.store_credit", "state", before, after, CREDIT_SHAPES)

    @pytest.mark.parametrize("state", ["used", "expired", "void"])
    def test_it_starts_active(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start as"):
            row(app, "ret.store_credit", state=state)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"credit_kind": "gift"}, "kind_known"),
            ({"state": "open"}, "state_known"),
            ({"balance_amount": -1}, "balance_amount_in_order"),
            ({"balance_amount": 1}, "balance_amount_in_order_2"),
            ({"held_amount": 1}, "balance_amount_in_order_2"),
            ({"held_amount": -1}, "held_not_negative"),
            ({"state": "used", "balance_amount": 1, "initial_amount": 1}, "ended_is_empty"),
            ({"expires_on": "2020-01-01"}, "expires_after_issue"),
            ({"state": "expired"}, "expired_had_a_day"),
            ({"credit_kind": "goodwill", "reason_text": " "}, "goodwill_says_why"),
        ],
    )
    def test_its_row_is_whole(self, app: Connection, columns: dict[str, Any], truth: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f'"store_credit_{truth}"'):
            imported(app, "ret.store_credit", issued_at="2026-05-01", **columns)

    @pytest.mark.parametrize(
        ("kind", "amount", "truth"),
        [
            ("issue", -1, "sign_by_kind"),
            ("authorise", 1, "sign_by_kind"),
            ("capture", 1, "sign_by_kind"),
            ("release", -1, "sign_by_kind"),
            ("adjust", 0, "sign_by_kind"),
            ("void", 1, "sign_by_kind"),
            ("void", -1, "ends_with_nothing"),
            ("expire", -1, "ends_with_nothing"),
            ("capture", -1, "order_is_named"),
        ],
    )
    def test_an_entry_has_the_sign_of_its_kind(
        self, app: Connection, credit: UUID, kind: str, amount: float, truth: str
    ) -> None:
        sold = row(app, "ret.sales_order")
        app.execute("RESET ROLE")
        app.execute("SET LOCAL session_replication_role = replica")
        given = {
            "sales_order_id": None if truth == "order_is_named" else sold,
            "balance_after": int(truth == "ends_with_nothing"),
        }
        with pytest.raises(errors.CheckViolation, match=f"store_credit_entry_{truth}"):
            credit_post(app, credit, kind, amount, entry_no=9, **given)

    def test_it_follows_its_entries(self, app: Connection, shop: Shop, credit: UUID) -> None:
        sold = {"sales_order_id": order(app, shop)}
        credit_post(app, credit, "authorise", -30, **sold)
        assert left(app, credit) == ("active", 20, 30)
        credit_post(app, credit, "release", 30, **sold)
        credit_post(app, credit, "capture", -25, **sold)
        credit_post(app, credit, "adjust", -5)
        assert left(app, credit) == ("active", 20, 0)
        credit_post(app, credit, "capture", -20, **sold)
        assert left(app, credit) == ("used", 0, 0)
        entries = app.execute(
            "SELECT entry_no, balance_after FROM ret.store_credit_entry ORDER BY entry_no"
        ).fetchall()
        assert entries == [(1, 50), (2, 20), (3, 50), (4, 25), (5, 20), (6, 0)]
        assert differences(app, "store_credit") == []

    def test_what_is_held_is_not_spent(self, app: Connection, shop: Shop, credit: UUID) -> None:
        sold = {"sales_order_id": order(app, shop)}
        credit_post(app, credit, "authorise", -30, **sold)
        with pytest.raises(errors.CheckViolation, match=r"20\.00 is left"), app.transaction():
            credit_post(app, credit, "capture", -21, **sold)
        with pytest.raises(errors.CheckViolation, match=r"30\.00 is held"), app.transaction():
            credit_post(app, credit, "release", 31, **sold)
        with pytest.raises(errors.CheckViolation, match="orders hold it"):
            credit_post(app, credit, "void", -20)

    def test_a_void_one_takes_nothing(self, app: Connection, credit: UUID) -> None:
        credit_post(app, credit, "void", -50)
        assert left(app, credit) == ("void", 0, 0)
        for kind, amount in (("issue", 5), ("adjust", 5)):
            with pytest.raises(errors.CheckViolation, match="it is void"), app.transaction():
                credit_post(app, credit, kind, amount)

    def test_a_used_one_is_owed_again(self, app: Connection, shop: Shop, credit: UUID) -> None:
        sold = {"sales_order_id": order(app, shop)}
        credit_post(app, credit, "capture", -50, **sold)
        assert left(app, credit) == ("used", 0, 0)
        credit_post(app, credit, "adjust", 10)
        assert left(app, credit) == ("active", 10, 0)

    def test_it_is_owed_to_one_customer(self, app: Connection, shop: Shop, credit: UUID) -> None:
        sold = order(app, shop, customer_id=row(app, "ret.customer"))
        with pytest.raises(errors.CheckViolation, match="of another customer"):
            credit_post(app, credit, "capture", -1, sales_order_id=sold)

    def test_it_is_one_kind_of_money(self, app: Connection, credit: UUID) -> None:
        sold = row(app, "ret.sales_order", currency="EUR")
        with pytest.raises(errors.CheckViolation, match="its money is USD"):
            credit_post(app, credit, "capture", -1, sales_order_id=sold)

    def test_it_lapses_after_its_last_day(self, app: Connection, shop: Shop) -> None:
        over = {"issued_at": "2020-01-01 12:00+00", "expires_on": "2020-12-31"}
        credit = credit_note(app, **over)
        held = credit_note(app, **over)
        sold = {"sales_order_id": order(app, shop)}
        app.execute("RESET ROLE")
        credit_post(app, held, "authorise", -20, **sold)
        app.execute("SET LOCAL ROLE app_user")
        with pytest.raises(errors.CheckViolation, match="good until 2020-12-31"), app.transaction():
            credit_post(app, credit, "capture", -1, **sold)
        assert one(app, "SELECT ret.expire_stored_value()") == 1
        assert left(app, credit) == ("expired", 0, 0)
        credit_post(app, held, "release", 20, **sold)
        assert one(app, "SELECT ret.expire_stored_value()") == 1
        assert left(app, held) == ("expired", 0, 0)

    def test_nobody_writes_its_balance(self, app: Connection, credit: UUID) -> None:
        for column in ("balance_amount", "held_amount", "initial_amount"):
            with (
                pytest.raises(errors.RestrictViolation, match="follows its ledger"),
                app.transaction(),
            ):
                app.execute(
                    sql.SQL("UPDATE ret.store_credit SET {0} = {0} + 1").format(
                        sql.Identifier(column)
                    )
                )
        with pytest.raises(errors.RestrictViolation, match="follows its ledger"):
            row(app, "ret.store_credit", initial_amount=5)

    def test_its_ledger_stands(self, app: Connection, credit: UUID) -> None:
        for statement in (
            "UPDATE ret.store_credit_entry SET amount = 60",
            "DELETE FROM ret.store_credit_entry",
        ):
            with pytest.raises(errors.InsufficientPrivilege), app.transaction():
                app.execute(statement.encode())
        app.execute("RESET ROLE")
        with pytest.raises(errors.RestrictViolation, match="append only"):
            app.execute("DELETE FROM ret.store_credit_entry")

    def test_history_is_true_as_well(self, app: Connection, shop: Shop, credit: UUID) -> None:
        sold = order(app, shop, customer_id=row(app, "ret.customer"))
        app.execute("RESET ROLE")
        credit_post(app, credit, "capture", -50, sales_order_id=sold)
        assert left(app, credit) == ("used", 0, 0)
        with pytest.raises(errors.CheckViolation, match=r"0\.00 is left"):
            credit_post(app, credit, "capture", -1, sales_order_id=sold)

    @pytest.mark.parametrize(
        ("statement", "figures"),
        [
            ("UPDATE ret.store_credit SET balance_amount = 19", {"balance_amount"}),
            ("UPDATE ret.store_credit SET initial_amount = 60", {"initial_amount"}),
            ("UPDATE ret.store_credit SET held_amount = 10", {"held_amount"}),
            (
                "UPDATE ret.store_credit_entry SET amount = -9 WHERE entry_no = 2",
                {"balance_amount", "balance_after of 2", "balance_after of 3"},
            ),
            (
                "DELETE FROM ret.store_credit_entry WHERE entry_no = 2",
                {"balance_amount", "entry_no", "balance_after of 3"},
            ),
        ],
    )
    def test_what_is_wrong_is_found(
        self, app: Connection, shop: Shop, credit: UUID, statement: str, figures: set[str]
    ) -> None:
        sold = {"sales_order_id": order(app, shop)}
        credit_post(app, credit, "capture", -10, **sold)
        credit_post(app, credit, "authorise", -20, **sold)
        assert differences(app, "store_credit") == []
        change(app, statement)
        assert {figure for figure, _, _ in differences(app, "store_credit")} == figures


class TestPayment:
    """Payments and refunds write the entries of what they take and give back."""

    def test_a_card_pays_once(self, app: Connection, shop: Shop, card: UUID) -> None:
        sold = sell(
            app, shop, {"tender": "gift_card", "gift_card": str(card)}, key="again", quantity=2
        )
        again = sell(
            app, shop, {"tender": "gift_card", "gift_card": str(card)}, key="again", quantity=2
        )
        assert (worth(app, card), sold == again) == (("active", 28), True)

    def test_it_pays_no_more_than_it_is_worth(self, app: Connection, shop: Shop) -> None:
        card = gift_card(app, 20)
        with pytest.raises(errors.CheckViolation, match=r"redeem of -22\.00 .* worth 20\.00"):
            sell(app, shop, {"tender": "gift_card", "gift_card": str(card)})

    def test_cards_pay_together(self, app: Connection, shop: Shop) -> None:
        cards = [gift_card(app, 12), gift_card(app, 10)]
        sell(
            app,
            shop,
            {"tender": "gift_card", "gift_card": str(cards[0]), "amount": 12},
            {"tender": "gift_card", "gift_card": str(cards[1]), "amount": 10},
        )
        assert [worth(app, card) for card in cards] == [("depleted", 0)] * 2

    def test_what_is_authorised_is_held(self, app: Connection, shop: Shop, credit: UUID) -> None:
        sold = order(app, shop)
        payment = pay(
            app, sold, 22, tender="store_credit", store_credit_id=credit, state="authorised"
        )
        assert left(app, credit) == ("active", 28, 22)
        app.execute(
            "UPDATE ret.payment SET state = 'captured', captured_amount = 20, captured_at = now()"
            " WHERE payment_id = %s",
            [payment],
        )
        assert left(app, credit) == ("active", 30, 0)
        kinds = app.execute(
            "SELECT entry_kind, amount FROM ret.store_credit_entry ORDER BY entry_no"
        ).fetchall()
        assert kinds == [("issue", 50), ("authorise", -22), ("release", 22), ("capture", -20)]

    @pytest.mark.parametrize("state", ["voided", "failed"])
    def test_what_is_not_captured_is_let_go(
        self, app: Connection, shop: Shop, credit: UUID, state: str
    ) -> None:
        pay(
            app,
            order(app, shop),
            22,
            tender="store_credit",
            store_credit_id=credit,
            state="authorised",
        )
        app.execute("UPDATE ret.payment SET state = %s", [state])
        app.execute("UPDATE ret.payment SET processing_fee = 1")
        assert left(app, credit) == ("active", 50, 0)

    def test_two_orders_do_not_hold_the_same(
        self, app: Connection, shop: Shop, credit: UUID
    ) -> None:
        held = {"tender": "store_credit", "store_credit_id": credit, "state": "authorised"}
        pay(app, order(app, shop), 30, **held)
        with pytest.raises(errors.CheckViolation, match=r"20\.00 is left"):
            pay(app, order(app, shop), 22, **held)

    def test_it_comes_back_to_what_paid(self, app: Connection, shop: Shop, card: UUID) -> None:
        customer = row(app, "ret.customer")
        credit = credit_note(app, 5, customer_id=customer)
        sold = sell(
            app,
            shop,
            {"tender": "gift_card", "gift_card": str(card), "amount": 17},
            {"tender": "store_credit", "store_credit": str(credit), "amount": 5},
            customer=str(customer),
        )
        assert left(app, credit) == ("used", 0, 0)
        take_back(app, sold, shop, 2)
        assert worth(app, card) == ("active", 50)
        assert left(app, credit) == ("active", 5, 0)
        assert differences(app, "gift_card") == differences(app, "store_credit") == []

    def test_for_a_card_that_is_over_the_desk_finds_a_way(
        self, app: Connection, shop: Shop
    ) -> None:
        card = gift_card(app, card_kind="promotional", expires_on="2099-01-01")
        sold = sell(app, shop, {"tender": "gift_card", "gift_card": str(card)})
        app.execute("UPDATE ret.gift_card SET expires_on = '2020-01-01'")
        app.execute("SELECT ret.expire_stored_value()")
        take_back(app, sold, shop, 1)
        assert one(app, "SELECT state, amount FROM ret.refund") == ("approved", 11)
        assert worth(app, card) == ("expired", 0)

    def test_a_return_as_credit_is_owed_to_somebody(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="nobody to owe it to"):
            take_back(app, sell(app, shop), shop, policy={"refund_methods": "store_credit"})

    def test_a_credit_is_given_instead(self, app: Connection, shop: Shop) -> None:
        customer = row(app, "ret.customer")
        sold = sell(app, shop)
        take_back(
            app,
            sold,
            shop,
            policy={"refund_methods": "store_credit"},
            rma={"customer_id": customer},
        )
        found = one(
            app, "SELECT state, initial_amount, balance_amount, credit_kind FROM ret.store_credit"
        )
        assert found == ("active", 11, 11, "return")
        assert differences(app, "store_credit") == []

    def test_a_refund_loads_another_card(self, app: Connection, shop: Shop, card: UUID) -> None:
        refund(app, sell(app, shop), 5, refund_method="gift_card", gift_card_id=card, **DONE)
        assert worth(app, card) == ("active", 55)
        assert one(app, "SELECT loaded_amount FROM ret.gift_card") == 55


def outcome(connection: Connection, work: Callable[[], Any]) -> str:
    try:
        work()
    except errors.CheckViolation:
        connection.rollback()
        return "refused"
    connection.commit()
    return "done"


class TestAtOnce:
    """Two tills that want the same money take turns."""

    @pytest.fixture
    def place(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> tuple[Target, UUID, Shop]:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            cashier = add_account(connection, tenant, "ada")
            become_app(connection, tenant)
            return target, tenant, open_shop(connection, cashier)

    def test_the_last_money_is_spent_once(self, place: tuple[Target, UUID, Shop]) -> None:
        target, tenant, _ = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            card = gift_card(connection, 100)
            credit = credit_note(connection, 100)

        def spend(connection: Connection, number: int) -> str:
            return outcome(
                connection,
                lambda: (
                    post(connection, card, "redeem", -30, idempotency_key=f"payment {number}"),
                    credit_post(connection, credit, "adjust", -30),
                ),
            )

        assert sorted(at_once(target, tenant, 6, spend)) == ["done"] * 3 + ["refused"] * 3
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert worth(connection, card) == ("active", 10)
            assert left(connection, credit) == ("active", 10, 0)
            assert differences(connection, "gift_card") == []
            assert differences(connection, "store_credit") == []

    def test_payments_with_the_same_cards_never_wait_crosswise(
        self, place: tuple[Target, UUID, Shop]
    ) -> None:
        target, tenant, till = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            cards = [gift_card(connection, 500) for _ in range(3)]
            orders = [order(connection, till) for _ in range(24)]

        def spend(connection: Connection, number: int) -> str:
            for sold in orders[number::6]:
                tenders = [
                    {"tender": "gift_card", "gift_card": str(card), "amount": 2}
                    for card in (cards if number % 2 else reversed(cards))
                ]
                connection.execute("SELECT ret.take_tenders(%s, NULL, %s)", [sold, Jsonb(tenders)])
            return outcome(connection, lambda: None)

        assert at_once(target, tenant, 6, spend) == ["done"] * 6
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert {worth(connection, card) for card in cards} == {("active", Decimal(452))}
            assert differences(connection, "gift_card") == []

    def test_refunds_to_the_same_cards_never_wait_crosswise(
        self, place: tuple[Target, UUID, Shop]
    ) -> None:
        target, tenant, till = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            cards = [gift_card(connection, 10) for _ in range(3)]
            orders = [order(connection, till) for _ in range(6)]
            for sold in orders:
                pay(connection, sold, 22)

        def give_back(connection: Connection, number: int) -> str:
            several = cards if number % 2 else cards[::-1]
            return outcome(
                connection,
                lambda: connection.execute(
                    "INSERT INTO ret.refund"
                    " (business_id, sales_order_id, gift_card_id, refund_number, refund_method,"
                    "  reason, amount, currency, state, requested_at, completed_at)"
                    " SELECT tenant_mgmt.current_business_id(), %s, c.card, %s || c.place,"
                    "        'gift_card', 'shipping', 5, 'USD', 'completed', now(), now()"
                    " FROM unnest(%s::uuid[]) WITH ORDINALITY AS c (card, place)",
                    [orders[number], f"F{number}-", several],
                ),
            )

        assert at_once(target, tenant, 6, give_back) == ["done"] * 6
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert {worth(connection, card) for card in cards} == {("active", Decimal(40))}
            assert differences(connection, "gift_card") == []

    def test_transfers_between_the_same_cards_never_wait_crosswise(
        self, place: tuple[Target, UUID, Shop]
    ) -> None:
        target, tenant, _ = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            pair = [gift_card(connection, 100), gift_card(connection, 100)]

        def move(connection: Connection, number: int) -> str:
            source, to = pair if number % 2 else reversed(pair)
            return outcome(
                connection,
                lambda: connection.execute(
                    "SELECT ret.transfer_gift_card(%s, %s, 10, %s)", [source, to, f"T{number}"]
                ),
            )

        assert at_once(target, tenant, 6, move) == ["done"] * 6
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert sum(worth(connection, card)[1] for card in pair) == 200
            assert differences(connection, "gift_card") == []
