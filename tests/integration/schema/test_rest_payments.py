"""Payments settle checks once, ledgers never go below zero, drawers and tips add up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_orders import add_line, open_check, owes


@pytest.fixture
def check(app: Connection) -> UUID:
    """A check that owes 22: 20 and a tenth of tax."""
    made = open_check(app)
    add_line(app, made, 20)
    return made


def pay(connection: Connection, check: UUID, amount: float, **given: Any) -> Any:
    call = sql.SQL("SELECT (rest.take_payment(%s, %s::numeric{})).check_payment_id").format(
        sql.SQL("").join(
            sql.SQL(", {} => {}").format(sql.Identifier(k), sql.Literal(v))
            for k, v in given.items()
        )
    )
    found = connection.execute(call, [check, amount]).fetchone()
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("check_adjustment", {"amount": 2}, "sign_by_kind"),
        ("check_adjustment", {"adjustment_kind": "discount", "amount": -1}, "has_one_source"),
        ("check_payment", {"tender": "cash", "amount_tendered": 9}, "cash_goes_in_a_drawer"),
        ("check_payment", {"tender": "gift_card"}, "gift_card_is_named"),
        ("check_payment", {"state": "captured"}, "captured_has_time"),
        ("check_payment", {"card_last4": "12x4"}, "last4_is_four_digits"),
        ("payment_refund", {"amount": 0}, "amount_positive"),
        ("loyalty_program", {"earn_points_per_unit": 0}, "earns"),
        ("loyalty_reward", {"reward_kind": "free_item"}, "item_when_free"),
        ("loyalty_entry", {"entry_kind": "redeem", "points": 5}, "sign_by_kind"),
        ("gift_card", {"expires_on": "2030-01-01"}, "only_gifts_expire"),
        ("gift_card_entry", {"entry_kind": "redeem", "amount": 5}, "sign_by_kind"),
        ("cash_drawer_event", {"event_kind": "no_sale"}, "amount_by_kind"),
        ("cash_drawer_event", {"event_kind": "paid_out"}, "paid_out_has_reason"),
        ("cash_deposit", {"state": "confirmed"}, "confirmed_is_counted"),
        ("tip_distribution", {"contributed_amount": 5}, "contributes_what_it_has"),
        ("guest_feedback", {"overall_rating": 6}, "ratings_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


def test_payments_settle_the_check(app: Connection, check: UUID) -> None:
    pay(app, check, 10)
    assert owes(app, check)["state"] == "partially_paid"
    pay(app, check, 12, tip=4)
    assert owes(app, check) | {"due": "0.00", "state": "paid"} == owes(app, check)
    found = app.execute("SELECT paid_total, tip_total FROM rest.guest_check").fetchone()
    assert found == (Decimal("22.00"), Decimal("4.00"))
    attempts = app.execute("SELECT count(*) FROM rest.payment_attempt").fetchone()
    assert attempts == (2,)


def test_nobody_pays_more_than_is_owed(app: Connection, check: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match=r"check 1 owes 22\.00, not 22\.01"):
        pay(app, check, 22.01)


def test_a_check_closes_when_nothing_is_owed(app: Connection, check: UUID) -> None:
    close = "UPDATE rest.guest_check SET state = 'closed', closed_at = now()"
    with app.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
        app.execute(close.encode())
    pay(app, check, 22)
    app.execute(close.encode())
    with pytest.raises(errors.CheckViolation, match="check 1 is closed, it is not changed"):
        app.execute("UPDATE rest.guest_check SET tab_name = 'Bar'")


def test_a_discount_lowers_the_tax_too(app: Connection, check: UUID) -> None:
    row(
        app,
        "rest.check_adjustment",
        guest_check_id=check,
        adjustment_kind="discount",
        amount=-5,
        discount_id=row(app, "rest.discount", discount_value=5),
    )
    found = owes(app, check)
    assert (found["off"], found["tax"], found["due"]) == ("5.00", "1.50", "16.50")


def refund(connection: Connection, payment: UUID, amount: float, **given: Any) -> UUID:
    columns = {"state": "completed", "completed_at": "2036-01-01", **given}
    return row(
        connection,
        "rest.payment_refund",
        check_payment_id=payment,
        amount=amount,
        **columns,
    )


def test_a_refund_makes_it_owed_again(app: Connection, check: UUID) -> None:
    payment = pay(app, check, 22)
    refund(app, payment, 7)
    found = owes(app, check)
    assert (found["due"], found["state"]) == ("7.00", "partially_paid")


def test_refunds_give_back_at_most_what_was_taken(app: Connection, check: UUID) -> None:
    payment = pay(app, check, 22, tip=3)
    refund(app, payment, 20)
    with pytest.raises(errors.CheckViolation, match=r"took 25\.00, refunds would give back 26"):
        refund(app, payment, 6)


def test_a_comp_is_approved(app: Connection, check: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="comp_is_approved"):
        row(
            app,
            "rest.check_adjustment",
            guest_check_id=check,
            adjustment_kind="comp",
            amount=-5,
            discount_id=row(app, "rest.discount", discount_value=5),
        )


@pytest.mark.parametrize(
    ("column", "figure"),
    [("subtotal", "subtotal"), ("tax_total", "tax_total"), ("tip_total", "tip_total")],
)
def test_a_figure_that_is_not_the_sum_of_its_rows_is_found(
    app: Connection, check: UUID, column: str, figure: str
) -> None:
    differences = "SELECT figure FROM rest.check_differences()"
    assert app.execute(differences.encode()).fetchall() == []
    app.execute(sql.SQL("UPDATE rest.guest_check SET {0} = {0} + 1").format(sql.Identifier(column)))
    assert app.execute(differences.encode()).fetchall() == [(figure,)]


class TestGiftCard:
    """What a card is worth is the sum of its entries, and never below zero."""

    @pytest.fixture
    def card(self, app: Connection) -> UUID:
        made = row(app, "rest.gift_card")
        self.post(app, made, "activate", 15)
        return made

    def post(self, connection: Connection, card: UUID, kind: str, amount: float) -> UUID:
        return row(
            connection,
            "rest.gift_card_entry",
            gift_card_id=card,
            entry_kind=kind,
            amount=amount,
        )

    def worth(self, connection: Connection) -> Any:
        return connection.execute("SELECT balance_amount, status FROM rest.gift_card").fetchone()

    def test_it_pays_what_it_is_worth(self, app: Connection, check: UUID, card: UUID) -> None:
        pay(app, check, 15, tender="gift_card", gift_card=str(card))
        assert self.worth(app) == (Decimal("0.00"), "depleted")
        assert app.execute("SELECT * FROM rest.gift_card_differences()").fetchall() == []

    def test_it_pays_no_more(self, app: Connection, check: UUID, card: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match=r"…1234 is active and worth 15\.00"):
            pay(app, check, 16, tender="gift_card", gift_card=str(card))

    def test_a_blocked_card_pays_nothing(self, app: Connection, card: UUID) -> None:
        app.execute("UPDATE rest.gift_card SET status = 'blocked'")
        with pytest.raises(errors.CheckViolation, match="is blocked"):
            self.post(app, card, "redeem", -1)

    def test_entries_stand(self, app: Connection, card: UUID) -> None:
        with pytest.raises(psycopg.Error, match="permission denied"):
            app.execute("UPDATE rest.gift_card_entry SET amount = 99")

    def test_a_balance_that_was_typed_in_is_found(self, app: Connection, card: UUID) -> None:
        app.execute("UPDATE rest.gift_card SET balance_amount = 99")
        found = app.execute("SELECT said, found FROM rest.gift_card_differences()").fetchall()
        assert found == [(Decimal("99.00"), Decimal("15.00"))]

    def test_two_tills_do_not_spend_it_twice(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            card = row(connection, "rest.gift_card")
            self.post(connection, card, "activate", 25)

        def redeem(till: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    row(
                        connection,
                        "rest.gift_card_entry",
                        gift_card_id=card,
                        entry_kind="redeem",
                        amount=-10,
                        idempotency_key=f"till {till}",
                    )
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(redeem, range(8))) == 2


class TestPoints:
    """Points are earned once on what was eaten, and spent no further than the balance."""

    @pytest.fixture
    def membership(self, app: Connection) -> UUID:
        program = row(app, "rest.loyalty_program", status="active", max_points_per_check=100)
        tier = row(
            app,
            "rest.loyalty_tier",
            loyalty_program_id=program,
            earn_multiplier=1.5,
            rank_no=1,
        )
        return row(
            app,
            "rest.loyalty_account",
            loyalty_program_id=program,
            loyalty_tier_id=tier,
            account_number="L1",
        )

    def balance(self, connection: Connection) -> Any:
        found = connection.execute("SELECT point_balance FROM rest.loyalty_account").fetchone()
        assert found
        return found[0]

    def earn(self, connection: Connection, check: UUID) -> Any:
        found = connection.execute("SELECT rest.earn_points(%s)", [check]).fetchone()
        assert found
        return found[0]

    def test_a_paid_check_earns_once(self, app: Connection, check: UUID, membership: UUID) -> None:
        app.execute(
            "UPDATE rest.guest_check SET guest_profile_id ="
            " (SELECT guest_profile_id FROM rest.loyalty_account)"
        )
        assert self.earn(app, check) == 0
        pay(app, check, 22)
        assert self.earn(app, check) == 30
        assert self.earn(app, check) == 0
        assert self.balance(app) == 30

    def test_nobody_spends_points_they_do_not_have(self, app: Connection, membership: UUID) -> None:
        known = {"loyalty_account_id": membership}
        row(app, "rest.loyalty_entry", entry_kind="bonus", points=50, **known)
        row(app, "rest.loyalty_entry", entry_kind="redeem", points=-30, **known)
        assert self.balance(app) == 20
        with pytest.raises(errors.CheckViolation, match="L1 is active and has 20 points, -30"):
            row(app, "rest.loyalty_entry", entry_kind="redeem", points=-30, **known)

    def test_a_balance_that_was_typed_in_is_found(self, app: Connection, membership: UUID) -> None:
        assert app.execute("SELECT * FROM rest.loyalty_differences()").fetchall() == []
        app.execute("UPDATE rest.loyalty_account SET point_balance = 7")
        found = app.execute("SELECT said, found FROM rest.loyalty_differences()").fetchall()
        assert found == [(7, 0)]

    def test_a_higher_tier_asks_for_more(self, app: Connection, membership: UUID) -> None:
        program = app.execute("SELECT loyalty_program_id FROM rest.loyalty_program").fetchone()
        assert program
        with pytest.raises(errors.CheckViolation, match="asks for no more than tier"):
            row(
                app,
                "rest.loyalty_tier",
                loyalty_program_id=program[0],
                rank_no=2,
                qualify_spend=0,
            )


class TestDrawer:
    """What a drawer should hold is its float and the sum of its events."""

    @pytest.fixture
    def drawer(self, app: Connection, check: UUID) -> UUID:
        day = app.execute("SELECT business_day_id FROM rest.guest_order").fetchone()
        assert day
        return row(app, "rest.cash_drawer_session", business_day_id=day[0], opening_float=100)

    def expected(self, connection: Connection) -> Any:
        found = connection.execute("SELECT expected_cash FROM rest.cash_drawer_session").fetchone()
        assert found
        return found[0]

    def touch(self, connection: Connection, drawer: UUID, kind: str, amount: float) -> None:
        row(
            connection,
            "rest.cash_drawer_event",
            cash_drawer_session_id=drawer,
            event_kind=kind,
            amount=amount,
            reason_code_id=row(connection, "rest.reason_code"),
        )

    def test_cash_goes_in_and_change_is_given(
        self, app: Connection, check: UUID, drawer: UUID
    ) -> None:
        pay(app, check, 22, tender="cash", tendered=30, tip=2, drawer=str(drawer))
        assert self.expected(app) == Decimal("124.00")
        change = app.execute("SELECT change_given FROM rest.check_payment").fetchone()
        assert change == (Decimal("6.00"),)

    def test_events_move_it(self, app: Connection, drawer: UUID) -> None:
        for kind, amount in (("paid_in", 50), ("paid_out", 20), ("safe_drop", 80)):
            self.touch(app, drawer, kind, amount)
        assert self.expected(app) == Decimal("50.00")
        assert app.execute("SELECT * FROM rest.drawer_differences()").fetchall() == []

    def test_it_pays_out_no_more_than_it_holds(self, app: Connection, drawer: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="the drawer does not hold 101"):
            self.touch(app, drawer, "safe_drop", 101)

    def test_a_closed_drawer_takes_nothing(self, app: Connection, drawer: UUID) -> None:
        app.execute("UPDATE rest.cash_drawer_session SET state = 'counting'")
        app.execute(
            "UPDATE rest.cash_drawer_session SET state = 'closed', counted_cash = 98,"
            " closed_at = opened_at + interval '1 hour', closed_by_staff_id = opened_by_staff_id"
        )
        short = app.execute("SELECT over_short FROM rest.cash_drawer_session").fetchone()
        assert short == (Decimal("-2.00"),)
        with pytest.raises(errors.CheckViolation, match="the drawer is closed"):
            self.touch(app, drawer, "paid_in", 1)

    def test_a_figure_that_was_typed_in_is_found(self, app: Connection, drawer: UUID) -> None:
        app.execute("UPDATE rest.cash_drawer_session SET cash_sales = 5")
        found = app.execute("SELECT said, found FROM rest.drawer_differences()").fetchall()
        assert found == [(Decimal("105.00"), Decimal("100.00"))]


class TestTips:
    """The tips of a day are shared out to the cent, and not again once approved."""

    @pytest.fixture
    def day(self, app: Connection) -> UUID:
        """Two servers and a runner worked; the first took a check with a tip of 10.01."""
        check = open_check(app)
        add_line(app, check, 20)
        known = app.execute(
            "SELECT o.location_id, o.business_day_id, d.business_date FROM rest.guest_order AS o"
            " JOIN rest.business_day AS d USING (business_id, business_day_id)"
        ).fetchone()
        assert known
        pool = row(
            app,
            "rest.tip_pool",
            location_id=known[0],
            basis="all_tips",
            distribution_rule="points",
            contribution_pct=100,
        )
        jobs = {}
        for code, points, gives in (("SERVER", 10, True), ("RUNNER", 5, False)):
            jobs[code] = row(app, "rest.job_role", job_code=code, is_tipped=gives)
            row(
                app,
                "rest.tip_pool_share",
                tip_pool_id=pool,
                job_role_id=jobs[code],
                share_points=points,
                contributes=gives,
            )
        people = []
        for code in ("SERVER", "SERVER", "RUNNER"):
            people.append(row(app, "rest.staff_member"))
            row(
                app,
                "rest.time_entry",
                staff_member_id=people[-1],
                job_role_id=jobs[code],
                location_id=known[0],
                business_date=known[2],
                clock_in_at="2026-05-04 10:00+00",
                clock_out_at="2026-05-04 14:00+00",
                regular_hours=4,
                hourly_rate=10,
            )
        pay(app, check, 22, tip=10.01)
        app.execute("UPDATE rest.check_payment SET taken_by_staff_id = %s", [people[0]])
        return UUID(str(known[1]))

    def distribute(self, connection: Connection, day: UUID) -> Any:
        found = connection.execute(
            "SELECT rest.distribute_tips((SELECT tip_pool_id FROM rest.tip_pool), %s)", [day]
        ).fetchone()
        assert found
        return found[0]

    def test_what_goes_in_comes_out(self, app: Connection, day: UUID) -> None:
        assert self.distribute(app, day) == 3
        found = app.execute(
            "SELECT contributed_amount, received_amount FROM rest.tip_distribution"
            " ORDER BY received_amount DESC"
        ).fetchall()
        assert sorted(given for given, _ in found) == [0, 0, Decimal("10.01")]
        assert [got for _, got in found] == [Decimal("4.01"), Decimal("4.00"), Decimal("2.00")]

    def test_it_is_figured_anew_until_it_is_approved(self, app: Connection, day: UUID) -> None:
        self.distribute(app, day)
        assert self.distribute(app, day) == 3
        app.execute("UPDATE rest.tip_distribution SET state = 'approved'")
        with pytest.raises(errors.CheckViolation, match="the tips of the day were approved"):
            self.distribute(app, day)
