"""Points are earned by rules, wait, are spent once and lapse; the ledger proves every balance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_ret_inventory import moves
from tests.integration.schema.test_ret_point_of_sale import Shop, one, order, sell, shop
from tests.integration.schema.test_ret_returns import take_back
from tests.integration.schema.test_ret_stored_value import change, edges, outcome

__all__ = ["shop"]

PROGRAM = {
    "draft": {"active"},
    "active": {"paused", "ended"},
    "paused": {"active", "ended"},
    "ended": set(),
}
ACCOUNT = {"active": {"frozen", "closed"}, "frozen": {"active", "closed"}, "closed": set()}
ISSUE = {
    "issued": {"used", "expired", "cancelled"},
    "used": {"issued"},
    "expired": set(),
    "cancelled": set(),
}
ISSUE_SHAPES = {
    "issued": "used_at = NULL, expires_at = '2099-01-01'",
    "used": "used_at = now(), expires_at = '2099-01-01'",
    "expired": "used_at = NULL, expires_at = '2099-01-01'",
    "cancelled": "used_at = NULL",
}
MACHINES = {
    "ret.loyalty_program": (PROGRAM, None),
    "ret.loyalty_account": (ACCOUNT, None),
    "ret.reward_issue": (ISSUE, ISSUE_SHAPES),
}
LATER = "now() + interval '40 days'"


@dataclass(frozen=True)
class Club:
    """A programme with a member in it."""

    program: UUID
    account: UUID
    customer: UUID


def open_club(connection: Connection, **given: Any) -> Club:
    program = row(connection, "ret.loyalty_program", **{"earn_on": "net_sales", **given})
    customer = row(connection, "ret.customer")
    account = row(
        connection,
        "ret.loyalty_account",
        loyalty_program_id=program,
        customer_id=customer,
        enrolled_at="2020-01-01",
    )
    return Club(program, account, customer)


@pytest.fixture
def club(app: Connection) -> Club:
    """A programme where points wait for thirty days and lapse after a hundred."""
    return open_club(app, earn_delay_days=30, point_expiry_days=100)


def post(connection: Connection, club: Club, kind: str, points: int, **given: Any) -> UUID:
    """An entry of the member."""
    return row(
        connection,
        "ret.loyalty_entry",
        loyalty_account_id=club.account,
        entry_kind=kind,
        points=points,
        **{"occurred_at": "now", "note": "because", **given},
    )


def tier(connection: Connection, club: Club, rank: int, spend: float, **given: Any) -> UUID:
    return row(
        connection,
        "ret.loyalty_tier",
        loyalty_program_id=club.program,
        rank_no=rank,
        qualify_spend=spend,
        tier_code=f"T{rank}",
        **given,
    )


def earns(connection: Connection, club: Club, **given: Any) -> UUID:
    return row(connection, "ret.loyalty_earn_rule", loyalty_program_id=club.program, **given)


def reward(connection: Connection, club: Club, **given: Any) -> UUID:
    return row(connection, "ret.loyalty_reward", loyalty_program_id=club.program, **given)


def issued(connection: Connection, club: Club, **given: Any) -> UUID:
    """A reward that the member holds."""
    return row(
        connection,
        "ret.reward_issue",
        loyalty_account_id=club.account,
        loyalty_reward_id=reward(connection, club),
        **given,
    )


def stands(connection: Connection, club: Club) -> Any:
    """What can be spent and what waits."""
    return one(
        connection,
        "SELECT point_balance, pending_points FROM ret.loyalty_account"
        " WHERE loyalty_account_id = %s",
        club.account,
    )


def differences(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT figure, said, found FROM ret.loyalty_differences() ORDER BY 1"
    ).fetchall()


def entries(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT entry_kind, points FROM ret.loyalty_entry ORDER BY entry_no"
    ).fetchall()


def buy(connection: Connection, club: Club, shop: Shop, quantity: float = 2, **given: Any) -> UUID:
    """The member buys goods for 10 each at the till."""
    return sell(connection, shop, quantity=quantity, customer=str(club.customer), **given)


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(table, *edge) for table, (machine, _) in MACHINES.items() for edge in edges(machine)],
)
def test_a_state_leads_on(app: Connection, club: Club, table: str, before: str, after: str) -> None:
    issued(app, club)
    assert moves(app, table, "state", before, after, MACHINES[table][1])


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(table, *edge) for table, (machine, _) in MACHINES.items() for edge in refused(machine)],
)
def test_a_state_leads_nowhere_else(
    app: Connection, club: Club, table: str, before: str, after: str
) -> None:
    issued(app, club)
    assert not moves(app, table, "state", before, after, MACHINES[table][1])


@pytest.mark.parametrize(
    ("table", "state"),
    [
        ("ret.loyalty_program", "paused"),
        ("ret.loyalty_program", "ended"),
        ("ret.loyalty_account", "frozen"),
        ("ret.loyalty_account", "closed"),
    ],
)
def test_a_row_starts_at_the_beginning(app: Connection, table: str, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, table, state=state)


@pytest.mark.parametrize("state", ["expired", "cancelled"])
def test_a_reward_starts_as_issued(app: Connection, club: Club, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        issued(app, club, state=state, expires_at="2099-01-01")


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("program", {"earn_on": "weight"}, "earn_on_known"),
        ("program", {"point_value": 0}, "point_value_positive"),
        ("program", {"tier_window_days": 0}, "windows_positive"),
        ("program", {"point_expiry_days": 0}, "windows_positive"),
        ("program", {"earn_delay_days": -1}, "limits_not_negative"),
        ("program", {"min_redeem_points": -1}, "limits_not_negative"),
        ("tier", {"earn_multiplier": 0.9}, "earn_multiplier_follows"),
        ("tier", {"rank_no": 0}, "rank_positive"),
        ("tier", {"qualify_spend": -1}, "thresholds_not_negative"),
        ("tier", {"qualify_orders": -1}, "thresholds_not_negative"),
        ("tier", {"birthday_points": -1}, "thresholds_not_negative"),
        ("tier", {"retain_days": 0}, "retain_days_positive"),
        ("earn_rule", {"earn_kind": "smile"}, "earn_kind_known"),
        ("earn_rule", {"points_per_unit": -1}, "points_per_unit_not_negative"),
        ("earn_rule", {"points_per_unit": 0}, "says_how_many"),
        ("earn_rule", {"earn_kind": "bonus_multiplier", "multiplier": 1}, "says_how_many"),
        ("earn_rule", {"unit_amount": 0}, "spend_has_unit"),
        ("earn_rule", {"earn_kind": "item"}, "item_names_goods"),
        ("earn_rule", {"ends_at": "2019-01-01"}, "ends_at_follows_starts_at"),
        ("earn_rule", {"max_points_per_day": 0}, "limits_positive"),
        ("earn_rule", {"min_spend": -1}, "limits_positive"),
        ("account", {"enrol_channel": "fax"}, "enrol_channel_known"),
        ("account", {"pending_points": -1}, "pending_points_not_negative"),
        ("account", {"lifetime_points": -1}, "lifetime_points_not_negative"),
        ("account", {"points_expiring": 5}, "expiring_has_day"),
        ("account", {"state": "closed", "point_balance": 1}, "closed_is_empty"),
        ("account", {"state": "closed", "pending_points": 1}, "closed_is_empty"),
        ("reward", {"reward_kind": "hug"}, "kind_known"),
        ("reward", {"points_cost": 0}, "points_cost_positive"),
        ("reward", {"reward_kind": "free_item"}, "reward_kind_iff"),
        ("reward", {"reward_value": None}, "value_by_kind"),
        ("reward", {"reward_kind": "percent_off", "reward_value": 101}, "value_by_kind"),
        ("reward", {"reward_kind": "experience", "reward_value": -1}, "value_by_kind"),
        ("reward", {"stock_limit": 0}, "limits_positive"),
        ("reward", {"valid_days": 0}, "limits_positive"),
        ("reward", {"ends_at": "2019-01-01"}, "ends_after_start"),
    ],
)
def test_the_programme_makes_sense(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"loyalty_{table}_{truth}"):
        imported(app, f"ret.loyalty_{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"issue_reason": "luck"}, "reason_known"),
        ({"state": "used"}, "state_iff"),
        ({"used_at": "2026-05-05"}, "state_iff"),
        (
            {"state": "used", "used_at": "2026-05-09", "expires_at": "2026-05-08"},
            "used_at_precedes_expires_at",
        ),
        ({"state": "used", "used_at": "2026-05-03"}, "used_after_issue"),
        ({"expires_at": "2026-05-01"}, "expires_after_issue"),
        ({"points_spent": -1}, "points_buy_it"),
        ({"points_spent": 5}, "points_buy_it"),
        ({"issue_reason": "points"}, "points_buy_it"),
        ({"state": "expired"}, "expired_had_an_end"),
    ],
)
def test_a_reward_is_whole(
    app: Connection, club: Club, columns: dict[str, Any], truth: str
) -> None:
    app.execute("RESET ROLE")
    with pytest.raises(errors.CheckViolation, match=f"reward_issue_{truth}"):
        issued(app, club, issued_at="2026-05-04", **columns)


def test_a_higher_tier_asks_for_more(app: Connection, club: Club) -> None:
    tier(app, club, 1, 0)
    tier(app, club, 2, 500, qualify_orders=2)
    for spend, orders in ((400, 3), (600, 1), (500, 2)):
        with (
            pytest.raises(errors.CheckViolation, match="asks for no more than"),
            app.transaction(),
        ):
            tier(app, club, 3, spend, qualify_orders=orders)
    tier(app, club, 3, 500, qualify_orders=3)
    with pytest.raises(errors.CheckViolation, match="asks for no more than"):
        app.execute("UPDATE ret.loyalty_tier SET qualify_spend = 900 WHERE rank_no = 2")


def test_a_member_is_in_one_programme(app: Connection, club: Club) -> None:
    other = open_club(app)
    strange = tier(app, other, 1, 0)
    with pytest.raises(errors.CheckViolation, match="tier is of another"), app.transaction():
        app.execute(
            "UPDATE ret.loyalty_account SET loyalty_tier_id = %s WHERE loyalty_account_id = %s",
            [strange, club.account],
        )
    with pytest.raises(errors.CheckViolation, match="reward is of another"), app.transaction():
        row(
            app,
            "ret.reward_issue",
            loyalty_account_id=club.account,
            loyalty_reward_id=reward(app, other),
        )
    with pytest.raises(errors.CheckViolation, match="rule is of another"), app.transaction():
        post(app, club, "bonus", 5, loyalty_earn_rule_id=earns(app, other))
    issue = row(app, "ret.reward_issue", loyalty_account_id=other.account,
                loyalty_reward_id=reward(app, other))  # fmt: skip
    with pytest.raises(errors.CheckViolation, match="reward is of another account"):
        post(app, club, "adjust", 5, reward_issue_id=issue)


class TestLedger:
    """Entries move what waits and what can be spent; nothing else does."""

    @pytest.mark.parametrize(
        ("kind", "points", "truth"),
        [
            ("pending", -1, "sign_by_kind"),
            ("earn", -1, "sign_by_kind"),
            ("bonus", -1, "sign_by_kind"),
            ("redeem", 1, "sign_by_kind"),
            ("expire", 1, "sign_by_kind"),
            ("reverse", 0, "sign_by_kind"),
            ("adjust", 0, "sign_by_kind"),
            ("wish", 1, "kind_known"),
        ],
    )
    def test_an_entry_has_the_sign_of_its_kind(
        self, app: Connection, club: Club, kind: str, points: int, truth: str
    ) -> None:
        sold = row(app, "ret.sales_order")
        pending = {"pending": points, "earn": -points, "reverse": 0}.get(kind, 0)
        self.refuses(app, club, kind, points, truth, sales_order_id=sold, pending_change=pending)

    @pytest.mark.parametrize(
        ("kind", "points", "pending"),
        [("pending", 5, 4), ("earn", 5, -4), ("reverse", -5, -6), ("bonus", 5, 5)],
    )
    def test_what_waits_follows_from_the_kind(
        self, app: Connection, club: Club, kind: str, points: int, pending: int
    ) -> None:
        given = {"sales_order_id": row(app, "ret.sales_order"), "pending_change": pending}
        self.refuses(app, club, kind, points, "pending_by_kind", **given)

    @pytest.mark.parametrize(
        ("kind", "points", "given", "truth"),
        [
            ("bonus", 5, {"entry_no": 0}, "no_positive"),
            ("redeem", -5, {}, "redeems_for_something"),
            ("adjust", 5, {"note": " "}, "adjust_says_why"),
            ("pending", 5, {"pending_change": 5}, "order_is_named"),
        ],
    )
    def test_an_entry_says_what_it_is_for(
        self, app: Connection, club: Club, kind: str, points: int, given: Any, truth: str
    ) -> None:
        self.refuses(app, club, kind, points, truth, **given)

    def test_points_are_not_there_before_they_are_earned(self, app: Connection, club: Club) -> None:
        sold = row(app, "ret.sales_order")
        with pytest.raises(errors.CheckViolation, match="pending_has_time"):
            post(app, club, "pending", 5, sales_order_id=sold, available_at="2020-01-01")

    def refuses(
        self, app: Connection, club: Club, kind: str, points: int, truth: str, **given: Any
    ) -> None:
        app.execute("RESET ROLE")
        app.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(errors.CheckViolation, match=f"loyalty_entry_{truth}"):
            post(app, club, kind, points, **{"entry_no": 1, **given})

    def test_the_account_follows(self, app: Connection, club: Club) -> None:
        sold = {"sales_order_id": row(app, "ret.sales_order")}
        post(app, club, "pending", 100, **sold)
        assert stands(app, club) == (0, 100)
        post(app, club, "reverse", -30, **sold)
        assert stands(app, club) == (0, 70)
        post(app, club, "earn", 70, **sold)
        assert stands(app, club) == (70, 0)
        post(app, club, "bonus", 20)
        post(app, club, "redeem", -40, **sold)
        post(app, club, "reverse", -25, **sold)
        post(app, club, "adjust", 5)
        post(app, club, "expire", -10)
        assert stands(app, club) == (20, 0)
        found = one(app, "SELECT lifetime_points, last_activity_at FROM ret.loyalty_account")
        assert found == (65, one(app, "SELECT now()"))
        ledger = app.execute(
            "SELECT entry_no, pending_change, balance_change, balance_after"
            " FROM ret.loyalty_entry ORDER BY entry_no"
        ).fetchall()
        assert ledger == [
            (1, 100, 0, 0),
            (2, -30, 0, 0),
            (3, -70, 70, 70),
            (4, 0, 20, 90),
            (5, 0, -40, 50),
            (6, 0, -25, 25),
            (7, 0, 5, 30),
            (8, 0, -10, 20),
        ]
        assert differences(app) == []

    def test_what_waits_is_taken_back_first(self, app: Connection, club: Club) -> None:
        sold = {"sales_order_id": row(app, "ret.sales_order")}
        post(app, club, "bonus", 50, **sold)
        post(app, club, "pending", 30, **sold)
        post(app, club, "reverse", -40, **sold)
        assert stands(app, club) == (40, 0)

    def test_only_what_waits_is_earned(self, app: Connection, club: Club) -> None:
        sold = {"sales_order_id": row(app, "ret.sales_order")}
        post(app, club, "pending", 30, **sold)
        with pytest.raises(errors.CheckViolation, match="of the order 30 points wait"):
            post(app, club, "earn", 31, **sold)

    def test_only_what_an_order_earned_is_taken_back(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 100)
        sold = {"sales_order_id": row(app, "ret.sales_order")}
        post(app, club, "pending", 30, **sold)
        post(app, club, "earn", 30, **sold)
        post(app, club, "reverse", -10, **sold)
        with pytest.raises(errors.CheckViolation, match="the order has 20 points left"):
            post(app, club, "reverse", -21, **sold)

    @pytest.mark.parametrize("kind", ["redeem", "expire", "adjust"])
    def test_nobody_spends_what_is_not_there(self, app: Connection, club: Club, kind: str) -> None:
        post(app, club, "bonus", 10)
        given = {"sales_order_id": row(app, "ret.sales_order")}
        with pytest.raises(errors.CheckViolation, match="is refused, it has 10 points"):
            post(app, club, kind, -11, **given)

    def test_only_what_is_mended_goes_below_zero(self, app: Connection) -> None:
        club = open_club(app, allows_negative=True)
        sold = {"sales_order_id": row(app, "ret.sales_order")}
        post(app, club, "bonus", 10, **sold)
        post(app, club, "redeem", -10, **sold)
        with pytest.raises(errors.CheckViolation, match="it has 0 points"), app.transaction():
            post(app, club, "redeem", -1, **sold)
        post(app, club, "reverse", -10, **sold)
        assert stands(app, club) == (-10, 0)
        post(app, club, "bonus", 4)
        assert stands(app, club) == (-6, 0)
        assert differences(app) == []

    @pytest.mark.parametrize(
        ("state", "kinds"),
        [
            ("active", {"pending", "bonus", "redeem", "expire", "adjust"}),
            ("frozen", {"pending", "bonus", "expire", "adjust"}),
        ],
    )
    def test_an_account_takes_what_its_state_allows(
        self, app: Connection, club: Club, state: str, kinds: set[str]
    ) -> None:
        post(app, club, "bonus", 10)
        app.execute("UPDATE ret.loyalty_account SET state = %s", [state])
        assert self.taken(app, club) == kinds

    def test_a_closed_account_takes_nothing(self, app: Connection, club: Club) -> None:
        app.execute("UPDATE ret.loyalty_account SET state = 'closed'")
        assert self.taken(app, club) == set()

    @pytest.mark.parametrize("state", ["paused", "ended"])
    def test_without_the_programme_nothing_is_earned_or_spent(
        self, app: Connection, club: Club, state: str
    ) -> None:
        post(app, club, "bonus", 10)
        app.execute("UPDATE ret.loyalty_program SET state = %s", [state])
        assert self.taken(app, club) == {"expire", "adjust"}

    def taken(self, app: Connection, club: Club) -> set[str]:
        given = {"sales_order_id": row(app, "ret.sales_order")}
        found = set()
        for kind, points in (
            ("pending", 5), ("bonus", 5), ("redeem", -5), ("expire", -5), ("adjust", 5),
        ):  # fmt: skip
            try:
                with app.transaction(force_rollback=True):
                    post(app, club, kind, points, **given)
            except errors.CheckViolation:
                continue
            found.add(kind)
        return found

    def test_points_are_spent_from_a_number_on(self, app: Connection) -> None:
        club = open_club(app, min_redeem_points=50)
        sold = {"sales_order_id": row(app, "ret.sales_order")}
        post(app, club, "bonus", 49)
        with pytest.raises(errors.CheckViolation, match="spent from 50 on"), app.transaction():
            post(app, club, "redeem", -10, **sold)
        post(app, club, "bonus", 1)
        post(app, club, "redeem", -10, **sold)

    def test_nobody_writes_a_balance(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 10, expires_on="2099-01-01")
        for column in ("point_balance", "pending_points", "lifetime_points", "points_expiring"):
            with (
                pytest.raises(errors.RestrictViolation, match="follows its ledger"),
                app.transaction(),
            ):
                app.execute(
                    sql.SQL("UPDATE ret.loyalty_account SET {0} = {0} + 1").format(
                        sql.Identifier(column)
                    )
                )
        with pytest.raises(errors.RestrictViolation, match="follows its ledger"):
            row(app, "ret.loyalty_account", point_balance=5)

    def test_the_ledger_stands(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 10)
        statements = ("UPDATE ret.loyalty_entry SET points = 9", "DELETE FROM ret.loyalty_entry")
        for statement in statements:
            with pytest.raises(errors.InsufficientPrivilege), app.transaction():
                app.execute(statement.encode())
        app.execute("RESET ROLE")
        for statement in statements:
            with pytest.raises(errors.RestrictViolation, match="append only"), app.transaction():
                app.execute(statement.encode())

    def test_history_is_true_as_well(self, app: Connection, club: Club) -> None:
        app.execute("UPDATE ret.loyalty_program SET state = 'paused'")
        app.execute("RESET ROLE")
        post(app, club, "bonus", 10)
        assert stands(app, club) == (10, 0)
        with pytest.raises(errors.CheckViolation, match="it has 10 points"):
            post(app, club, "expire", -11)

    @pytest.mark.parametrize(
        ("statement", "figures"),
        [
            ("UPDATE ret.loyalty_account SET point_balance = 9", {"point_balance"}),
            ("UPDATE ret.loyalty_account SET pending_points = 9", {"pending_points"}),
            ("UPDATE ret.loyalty_account SET lifetime_points = 9", {"lifetime_points"}),
            ("UPDATE ret.loyalty_account SET points_expiring = 9", {"points_expiring"}),
            (
                "UPDATE ret.loyalty_account SET next_expiry_on = '2098-01-01'",
                {"next_expiry_on"},
            ),
            (
                "DELETE FROM ret.loyalty_entry WHERE entry_no = 2",
                {"entry_no", "pending_points"},
            ),
            (
                "UPDATE ret.loyalty_entry SET balance_after = 3 WHERE entry_no = 1",
                {"balance_after of 1"},
            ),
            (
                "UPDATE ret.reward_issue SET points_spent = 7, issue_reason = 'points'",
                {"points of reward"},
            ),
        ],
    )
    def test_what_is_wrong_is_found(
        self, app: Connection, club: Club, statement: str, figures: set[str]
    ) -> None:
        post(app, club, "bonus", 20, expires_on="2099-01-01")
        post(app, club, "pending", 5, sales_order_id=row(app, "ret.sales_order"))
        post(app, club, "adjust", -5)
        issued(app, club)
        assert differences(app) == []
        change(app, statement)
        found = {figure.split(" C")[0] for figure, _, _ in differences(app)}
        assert found == figures


class TestExpiry:
    """Whatever leaves an account takes the points that lapse first."""

    @pytest.mark.parametrize(
        ("given", "gone", "left"),
        [
            ([(10, "2030-01-01")], 0, [(10, "2030-01-01")]),
            ([(10, "2030-01-01")], 4, [(6, "2030-01-01")]),
            ([(10, "2031-01-01"), (20, "2030-01-01")], 4, [(16, "2030-01-01"), (10, "2031-01-01")]),
            ([(10, "2030-01-01"), (20, "2031-01-01")], 15, [(15, "2031-01-01")]),
            ([(10, None), (20, "2031-01-01")], 15, [(5, "2031-01-01"), (10, None)]),
            ([(10, None), (20, "2031-01-01")], 25, [(5, None)]),
            ([(10, "2030-01-01"), (5, "2030-01-01")], 11, [(4, "2030-01-01")]),
            ([(10, "2030-01-01")], 10, []),
        ],
    )
    def test_the_first_to_lapse_goes_first(
        self,
        app: Connection,
        club: Club,
        given: list[tuple[int, str | None]],
        gone: int,
        left: list[tuple[int, str | None]],
    ) -> None:
        for points, day in given:
            post(app, club, "bonus", points, expires_on=day)
        if gone:
            post(app, club, "adjust", -gone, expires_on="2026-01-01")
        found = app.execute(
            "SELECT points, expires_on::text FROM ret.v_points_expiring ORDER BY expires_on"
        ).fetchall()
        assert found == left
        first = next(((p, day) for p, day in left if day), (0, None))
        said = one(app, "SELECT points_expiring, next_expiry_on::text FROM ret.loyalty_account")
        assert said == first

    def test_what_waits_does_not_lapse(self, app: Connection, club: Club) -> None:
        sold = {"sales_order_id": row(app, "ret.sales_order"), "expires_on": "2020-01-01"}
        post(app, club, "pending", 5, **sold)
        assert one(app, "SELECT points_expiring FROM ret.loyalty_account") == 0
        assert one(app, "SELECT ret.expire_points()") == 0

    def test_points_lapse_after_their_last_day(self, app: Connection, club: Club) -> None:
        app.execute("SELECT")
        today = one(app, "SELECT ret.business_day()")
        post(app, club, "bonus", 10, expires_on="2020-01-01")
        post(app, club, "bonus", 20, expires_on="2020-02-01")
        post(app, club, "bonus", 30, expires_on=today)
        post(app, club, "bonus", 40)
        post(app, club, "adjust", -5)
        assert one(app, "SELECT ret.expire_points()") == 25
        assert stands(app, club) == (70, 0)
        assert one(app, "SELECT ret.expire_points()") == 0
        assert one(app, "SELECT next_expiry_on FROM ret.loyalty_account") == today
        assert one(app, "SELECT ret.expire_points(now() + interval '1 day')") == 30
        assert differences(app) == []


class TestEarning:
    """Sales earn by the rules of the programme, and wait until the goods cannot come back."""

    def test_a_sale_earns_once(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        sold = buy(app, club, shop)
        found = one(
            app,
            "SELECT entry_kind, points, basis_amount, idempotency_key,"
            " available_at = now() + interval '30 days', expires_on - ret.business_day()"
            " FROM ret.loyalty_entry",
        )
        assert found == ("pending", 20, 20, f"order {sold}", True, 100)
        assert one(app, "SELECT ret.earn_order_points(%s)", sold) == 0
        assert stands(app, club) == (0, 20)

    @pytest.mark.parametrize(
        ("rule", "points"),
        [
            ({"points_per_unit": 2}, 40),
            ({"unit_amount": 3}, 6),
            ({"multiplier": 1.5}, 30),
            ({"min_spend": 20}, 20),
            ({"min_spend": 20.01}, 0),
            ({"max_points_per_day": 7}, 7),
            ({"is_active": False}, 0),
            ({"starts_at": "2098-01-01"}, 0),
            ({"ends_at": "2020-02-01"}, 0),
        ],
    )
    def test_a_rule_says_how_many(
        self, app: Connection, club: Club, shop: Shop, rule: dict[str, Any], points: int
    ) -> None:
        earns(app, club, **rule)
        buy(app, club, shop)
        assert stands(app, club) == (0, points)

    def test_the_best_rule_counts(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        best = earns(app, club, points_per_unit=3)
        other = row(app, "ret.sales_channel", channel_kind="web", currency="USD")
        earns(app, club, points_per_unit=9, sales_channel_id=other)
        buy(app, club, shop)
        found = one(app, "SELECT points, loyalty_earn_rule_id FROM ret.loyalty_entry")
        assert found == (60, best)

    def test_the_tier_lifts_it(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        gold = tier(app, club, 1, 0, earn_multiplier=1.25)
        app.execute("UPDATE ret.loyalty_account SET loyalty_tier_id = %s", [gold])
        buy(app, club, shop)
        assert stands(app, club) == (0, 25)

    @pytest.mark.parametrize(
        ("basis", "points"), [("net_sales", 17), ("gross_sales", 20), ("profit", 9)]
    )
    def test_it_is_earned_on(
        self, app: Connection, shop: Shop, account: UUID, basis: str, points: int
    ) -> None:
        club = open_club(app, earn_on=basis, earn_delay_days=30)
        earns(app, club)
        lines = [
            {
                "variant": str(shop.variant),
                "quantity": 2,
                "discount": 3,
                "approved_by": str(account),
            }
        ]
        buy(app, club, shop, lines=lines)
        cost = one(app, "SELECT cost_total FROM ret.sales_order")
        assert stands(app, club) == (0, points if basis != "profit" else 17 - int(cost))

    def test_a_bonus_window_adds_to_it(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        earns(app, club, earn_kind="bonus_multiplier", multiplier=2, rule_code="B2")
        earns(app, club, earn_kind="bonus_multiplier", multiplier=3, rule_code="B3")
        sold = buy(app, club, shop)
        found = app.execute(
            "SELECT points, basis_amount, idempotency_key FROM ret.loyalty_entry ORDER BY entry_no"
        ).fetchall()
        assert found == [(20, 20, f"order {sold}"), (40, 0, f"order {sold} B3")]

    def test_goods_and_visits_add_to_it(self, app: Connection, club: Club, shop: Shop) -> None:
        top = row(app, "ret.category", level_kind="department")
        below = row(app, "ret.category", level_kind="class", parent_category_id=top)
        product = one(app, "SELECT product_id FROM ret.product_variant")
        row(app, "ret.product_category", product_id=product, category_id=below)
        item = {"earn_kind": "item", "unit_amount": 0}
        earns(app, club, **item, points_per_unit=5, product_variant_id=shop.variant, rule_code="I1")
        earns(app, club, **item, points_per_unit=7, category_id=top, rule_code="I2")
        other = row(app, "ret.product_variant")
        earns(app, club, **item, points_per_unit=9, product_variant_id=other, rule_code="I3")
        earns(app, club, earn_kind="visit", points_per_unit=3, max_points_per_day=3, rule_code="V")
        buy(app, club, shop)
        assert entries(app) == [("pending", 10), ("pending", 14), ("pending", 3)]
        assert one(app, "SELECT sum(basis_amount) FROM ret.loyalty_entry") == 20
        buy(app, club, shop)
        assert entries(app)[3:] == [("pending", 10), ("pending", 14)]

    def test_a_day_has_its_limit(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club, max_points_per_day=30)
        for _ in range(3):
            buy(app, club, shop)
        assert entries(app) == [("pending", 20), ("pending", 10)]

    def test_a_gift_card_earns_when_it_is_spent(
        self, app: Connection, club: Club, shop: Shop
    ) -> None:
        earns(app, club)
        app.execute("UPDATE ret.product SET product_kind = 'gift_card'")
        buy(app, club, shop)
        assert stands(app, club) == (0, 0)

    def test_where_nothing_waits_it_can_be_spent_at_once(self, app: Connection, shop: Shop) -> None:
        club = open_club(app, earn_delay_days=0)
        earns(app, club)
        buy(app, club, shop)
        assert entries(app) == [("pending", 20), ("earn", 20)]
        assert stands(app, club) == (20, 0)

    def test_a_web_order_earns_when_it_is_handed_over(
        self, app: Connection, club: Club, shop: Shop
    ) -> None:
        earns(app, club)
        order(app, shop, customer_id=club.customer)
        assert stands(app, club) == (0, 0)
        app.execute("UPDATE ret.sales_order_line SET fulfilled_qty = 1, cancelled_qty = 1")
        assert one(app, "SELECT state FROM ret.sales_order") == "fulfilled"
        assert stands(app, club) == (0, 10)
        app.execute("UPDATE ret.sales_order SET state = 'completed'")
        assert stands(app, club) == (0, 10)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE ret.loyalty_account SET state = 'closed'",
            "UPDATE ret.loyalty_program SET state = 'paused'",
            "UPDATE ret.loyalty_program SET effective_from = '2098-01-01'",
        ],
    )
    def test_it_takes_a_member_and_a_programme(
        self, app: Connection, club: Club, shop: Shop, statement: str
    ) -> None:
        earns(app, club)
        app.execute(statement.encode())
        buy(app, club, shop)
        assert entries(app) == []


class TestConfirming:
    CONFIRM = f"SELECT ret.confirm_points({LATER})"

    def test_points_wait_for_their_day(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        buy(app, club, shop)
        assert one(app, "SELECT ret.confirm_points(now() + interval '29 days')") == 0
        assert one(app, "SELECT ret.confirm_points(now() + interval '30 days')") == 20
        assert stands(app, club) == (20, 0)
        assert one(app, self.CONFIRM) == 0
        assert one(app, "SELECT next_expiry_on - ret.business_day() FROM ret.loyalty_account") == (
            100
        )

    def test_what_came_back_is_not_confirmed(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        sold = buy(app, club, shop, 4)
        take_back(app, sold, shop, 1)
        assert stands(app, club) == (0, 30)
        assert one(app, self.CONFIRM) == 30
        whole = buy(app, club, shop)
        take_back(app, whole, shop, 2)
        assert one(app, self.CONFIRM) == 0
        assert differences(app) == []

    def test_a_frozen_account_goes_on_earning(
        self, app: Connection, club: Club, shop: Shop
    ) -> None:
        earns(app, club)
        buy(app, club, shop)
        app.execute("UPDATE ret.loyalty_account SET state = 'frozen'")
        assert one(app, self.CONFIRM) == 20


class TestReversing:
    """A return takes back what its goods earned, and never fails for it."""

    def spent(self, app: Connection, club: Club, shop: Shop) -> UUID:
        """An order whose 40 points were confirmed and spent but for 10."""
        earns(app, club)
        sold = buy(app, club, shop, 4)
        app.execute(TestConfirming.CONFIRM.encode())
        post(app, club, "redeem", -30, sales_order_id=row(app, "ret.sales_order"))
        return sold

    def test_it_takes_what_can_be_spent(self, app: Connection, club: Club, shop: Shop) -> None:
        sold = self.spent(app, club, shop)
        take_back(app, sold, shop, 1)
        assert stands(app, club) == (0, 0)
        found = one(
            app, "SELECT points, basis_amount, note FROM ret.loyalty_entry WHERE points = -10"
        )
        assert found == (-10, -10, "Goods came back")

    def test_it_takes_no_more_than_is_left(self, app: Connection, club: Club, shop: Shop) -> None:
        sold = self.spent(app, club, shop)
        take_back(app, sold, shop, 3)
        assert stands(app, club) == (0, 0)
        note = one(app, "SELECT note FROM ret.loyalty_entry WHERE entry_kind = 'reverse'")
        assert note == "Goods came back; 20 points were spent before"
        take_back(app, sold, shop, 1)
        assert stands(app, club) == (0, 0)

    def test_it_goes_below_zero_where_it_may(self, app: Connection, shop: Shop) -> None:
        club = open_club(app, allows_negative=True, earn_delay_days=30)
        sold = self.spent(app, club, shop)
        take_back(app, sold, shop, 3)
        assert stands(app, club) == (-20, 0)
        assert differences(app) == []

    def test_it_takes_no_more_than_was_earned(
        self, app: Connection, club: Club, shop: Shop
    ) -> None:
        earns(app, club, unit_amount=3)
        sold = buy(app, club, shop, 5)
        assert stands(app, club) == (0, 16)
        for _ in range(5):
            take_back(app, sold, shop, 1)
        assert stands(app, club) == (0, 0)
        assert one(app, "SELECT sum(basis_amount) FROM ret.loyalty_entry") == 0

    def test_a_part_of_a_whole_is_not_rounded_up(
        self, app: Connection, club: Club, shop: Shop
    ) -> None:
        earns(app, club)
        take_back(app, buy(app, club, shop, 3), shop, 2)
        assert stands(app, club) == (0, 10)

    def test_what_was_spent_counts_no_more_for_the_tier(
        self, app: Connection, club: Club, shop: Shop
    ) -> None:
        sold = self.spent(app, club, shop)
        post(app, club, "redeem", -10, sales_order_id=row(app, "ret.sales_order"))
        take_back(app, sold, shop, 1)
        found = one(app, "SELECT points, basis_amount FROM ret.loyalty_entry"
                         " WHERE entry_kind = 'reverse'")  # fmt: skip
        assert found == (0, -10)
        assert one(app, "SELECT spend FROM ret.tier_standings()") == 30

    def test_a_closed_account_is_left_alone(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        sold = buy(app, club, shop)
        app.execute("SELECT ret.close_loyalty_account(%s, 'moved away')", [club.account])
        take_back(app, sold, shop, 1)
        assert one(app, "SELECT state FROM ret.loyalty_account") == "closed"


class TestMember:
    ENROL = "SELECT ret.enrol_customer(%s, %s, 'web')"

    def test_who_signs_up_is_welcome(self, app: Connection, club: Club) -> None:
        earns(app, club, earn_kind="sign_up", points_per_unit=80)
        earns(app, club, earn_kind="sign_up", points_per_unit=100)
        first = tier(app, club, 1, 0)
        tier(app, club, 2, 100)
        customer = row(app, "ret.customer")
        made = one(app, self.ENROL, customer, club.program)
        found = one(
            app,
            "SELECT point_balance, loyalty_tier_id, points_expiring FROM ret.loyalty_account"
            " WHERE loyalty_account_id = %s",
            made,
        )
        assert found == (100, first, 100)
        assert one(app, self.ENROL, customer, club.program) == made
        assert len(entries(app)) == 1

    def test_a_paused_programme_takes_nobody(self, app: Connection, club: Club) -> None:
        app.execute("UPDATE ret.loyalty_program SET state = 'paused'")
        with pytest.raises(errors.CheckViolation, match="takes no members"):
            app.execute(self.ENROL, [row(app, "ret.customer"), club.program])

    def test_an_occasion_gives_once(self, app: Connection, club: Club) -> None:
        earns(app, club, earn_kind="review", points_per_unit=15, max_points_per_day=25)
        grant = "SELECT ret.grant_points(%s, 'review', %s)"
        found = [one(app, grant, club.account, review) for review in ("R1", "R1", "R2", "R3")]
        assert found == [15, 0, 10, 0]
        assert stands(app, club) == (25, 0)

    def test_a_birthday_gives_what_the_tier_adds(self, app: Connection, club: Club) -> None:
        grant = "SELECT ret.grant_points(%s, 'birthday', %s)"
        assert one(app, grant, club.account, "2025") == 0
        gold = tier(app, club, 1, 0, birthday_points=25)
        app.execute("UPDATE ret.loyalty_account SET loyalty_tier_id = %s", [gold])
        assert one(app, grant, club.account, "2025") == 25
        earns(app, club, earn_kind="birthday", points_per_unit=50)
        assert one(app, grant, club.account, "2026") == 75

    def test_spending_is_not_an_occasion(self, app: Connection, club: Club) -> None:
        earns(app, club)
        assert one(app, "SELECT ret.grant_points(%s, 'spend', 'x')", club.account) == 0

    def test_who_leaves_takes_nothing_along(self, app: Connection, club: Club, shop: Shop) -> None:
        earns(app, club)
        buy(app, club, shop)
        post(app, club, "bonus", 30)
        app.execute("SELECT ret.close_loyalty_account(%s, 'moved away')", [club.account])
        assert entries(app) == [
            ("pending", 20), ("bonus", 30), ("reverse", -20), ("expire", -30),
        ]  # fmt: skip
        assert one(app, "SELECT state FROM ret.loyalty_account") == "closed"
        assert differences(app) == []

    def test_who_is_erased_is_no_member(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 30)
        app.execute("UPDATE ret.customer SET status = 'erased'")
        assert one(app, "SELECT state, point_balance FROM ret.loyalty_account") == ("closed", 0)


class TestReward:
    BUY = "SELECT ret.redeem_reward(%s, %s)"

    def test_points_buy_it(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 150)
        made = one(app, self.BUY, club.account, reward(app, club, valid_days=30))
        found = one(
            app,
            "SELECT state, issue_reason, points_spent, value_at_issue, coupon_id,"
            " expires_at = now() + interval '30 days' FROM ret.reward_issue",
        )
        assert found == ("issued", "points", 100, 5, None, True)
        spent = one(
            app, "SELECT points, reward_issue_id FROM ret.loyalty_entry WHERE entry_kind = 'redeem'"
        )
        assert spent == (-100, made)
        assert stands(app, club) == (50, 0)
        with pytest.raises(errors.CheckViolation, match="it has 50 points"):
            app.execute(self.BUY, [club.account, reward(app, club)])

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"points_cost": None}, "cannot be bought"),
            ({"is_active": False}, "not offered now"),
            ({"starts_at": "2098-01-01"}, "not offered now"),
            ({"ends_at": "2020-02-01"}, "not offered now"),
            ({"min_tier_rank": 2}, "for a higher tier"),
        ],
    )
    def test_it_is_offered(
        self, app: Connection, club: Club, given: dict[str, Any], why: str
    ) -> None:
        post(app, club, "bonus", 150)
        first = tier(app, club, 1, 0)
        app.execute("UPDATE ret.loyalty_account SET loyalty_tier_id = %s", [first])
        with pytest.raises(errors.CheckViolation, match=why):
            app.execute(self.BUY, [club.account, reward(app, club, **given)])

    def test_it_is_of_the_programme(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 150)
        with pytest.raises(errors.CheckViolation, match="there is none in the programme"):
            app.execute(self.BUY, [club.account, reward(app, open_club(app))])

    def test_there_are_so_many(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 300)
        few = reward(app, club, stock_limit=1)
        app.execute(self.BUY, [club.account, few])
        with pytest.raises(errors.CheckViolation, match="all are handed out"), app.transaction():
            app.execute(self.BUY, [club.account, few])
        app.execute("UPDATE ret.reward_issue SET state = 'cancelled'")
        app.execute(self.BUY, [club.account, few])

    def test_what_lapsed_buys_nothing(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 150, expires_on="2020-01-01")
        with pytest.raises(errors.CheckViolation, match="it has 0 points"):
            app.execute(self.BUY, [club.account, reward(app, club)])

    def test_a_code_opens_the_offer_behind_it(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 150)
        offer = reward(app, club, promotion_id=row(app, "ret.promotion"), valid_days=10)
        made = one(app, self.BUY, club.account, offer)
        code = one(
            app,
            "SELECT c.coupon_kind, c.customer_id, c.max_uses, c.issue_source, c.state,"
            " c.expires_at = i.expires_at FROM ret.reward_issue AS i"
            " JOIN ret.coupon AS c USING (business_id, coupon_id)",
        )
        assert code == ("personal", club.customer, 1, "loyalty", "issued", True)
        app.execute(
            "UPDATE ret.reward_issue SET state = 'cancelled' WHERE reward_issue_id = %s", [made]
        )
        assert one(app, "SELECT state FROM ret.coupon") == "revoked"

    def test_the_same_code_buys_once(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 500)
        offer = reward(app, club)
        buy_it = "SELECT ret.redeem_reward(%s, %s, 'ONCE')"
        assert one(app, buy_it, club.account, offer) == one(app, buy_it, club.account, offer)
        assert stands(app, club) == (400, 0)

    def test_what_is_cancelled_gives_its_points_back(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 100, expires_on="2027-01-01")
        app.execute(self.BUY, [club.account, reward(app, club)])
        app.execute("UPDATE ret.reward_issue SET state = 'cancelled'")
        assert stands(app, club) == (100, 0)
        assert differences(app) == []

    def test_what_nobody_used_is_over(self, app: Connection, club: Club) -> None:
        post(app, club, "bonus", 200)
        app.execute(self.BUY, [club.account, reward(app, club, valid_days=10)])
        app.execute(self.BUY, [club.account, reward(app, club)])
        assert one(app, "SELECT ret.expire_rewards()") == 0
        assert one(app, f"SELECT ret.expire_rewards({LATER})") == 1
        assert stands(app, club) == (0, 0)
        assert differences(app) == []


class TestUse:
    """A reward takes something off an order of its member, once."""

    def take_off(self, connection: Connection, sold: UUID, issue: UUID, amount: float = 5) -> UUID:
        return row(
            connection,
            "ret.order_adjustment",
            sales_order_id=sold,
            adjustment_kind="reward",
            amount=-amount,
            reward_issue_id=issue,
        )

    @pytest.fixture
    def issue(self, app: Connection, club: Club) -> UUID:
        post(app, club, "bonus", 100)
        made: UUID = one(app, TestReward.BUY, club.account, reward(app, club, valid_days=30))
        return made

    def test_it_is_used_on_one_order(
        self, app: Connection, club: Club, shop: Shop, issue: UUID
    ) -> None:
        sold = order(app, shop, customer_id=club.customer)
        self.take_off(app, sold, issue, 3)
        assert one(app, "SELECT state, used_at = now() FROM ret.reward_issue") == ("used", True)
        self.take_off(app, sold, issue, 1)
        with pytest.raises(errors.CheckViolation, match=r"is worth 5\.00"), app.transaction():
            self.take_off(app, sold, issue, 1.01)
        other = order(app, shop, customer_id=club.customer)
        with pytest.raises(errors.CheckViolation, match="is used"):
            self.take_off(app, other, issue, 1)

    def test_taken_back_it_can_be_used_again(
        self, app: Connection, club: Club, shop: Shop, issue: UUID
    ) -> None:
        sold = order(app, shop, customer_id=club.customer)
        first = self.take_off(app, sold, issue, 3)
        self.take_off(app, sold, issue, 2)
        release = "UPDATE ret.order_adjustment SET state = 'released'"
        app.execute(f"{release} WHERE order_adjustment_id = %s".encode(), [first])
        assert one(app, "SELECT state FROM ret.reward_issue") == "used"
        app.execute(f"{release} WHERE state = 'applied'".encode())
        assert one(app, "SELECT state, used_at FROM ret.reward_issue") == ("issued", None)
        self.take_off(app, order(app, shop, customer_id=club.customer), issue)

    def test_it_is_of_the_member(
        self, app: Connection, club: Club, shop: Shop, issue: UUID
    ) -> None:
        for buyer in (None, row(app, "ret.customer")):
            sold = order(app, shop, customer_id=buyer)
            with (
                pytest.raises(errors.CheckViolation, match="of another customer"),
                app.transaction(),
            ):
                self.take_off(app, sold, issue)

    def test_it_is_not_over(self, app: Connection, club: Club, shop: Shop, issue: UUID) -> None:
        sold = order(app, shop, customer_id=club.customer)
        app.execute(
            "UPDATE ret.reward_issue SET issued_at = '2020-01-01', expires_at = '2020-01-02'"
        )
        with pytest.raises(errors.CheckViolation, match="is over"), app.transaction():
            self.take_off(app, sold, issue)
        app.execute("SELECT ret.expire_rewards()")
        with pytest.raises(errors.CheckViolation, match="is expired"):
            self.take_off(app, sold, issue)


class TestTender:
    """Points pay where the programme says what they are worth."""

    POINTS: Mapping[str, str] = {"tender": "loyalty"}

    def test_points_pay_and_come_back(self, app: Connection, shop: Shop) -> None:
        club = open_club(app, point_value=0.02, point_expiry_days=50)
        post(app, club, "bonus", 2000)
        sold = sell(app, shop, self.POINTS, customer=str(club.customer))
        assert stands(app, club) == (900, 0)
        take_back(app, sold, shop, 1)
        assert stands(app, club) == (1450, 0)
        assert one(app, "SELECT state, amount FROM ret.refund") == ("completed", 11)
        take_back(app, sold, shop, 1)
        assert stands(app, club) == (2000, 0)
        assert differences(app) == []

    def test_a_part_of_a_point_is_a_point(self, app: Connection, shop: Shop) -> None:
        club = open_club(app, point_value=0.03)
        post(app, club, "bonus", 2000)
        sell(app, shop, self.POINTS, customer=str(club.customer))
        assert stands(app, club) == (2000 - 734, 0)

    def test_they_pay_no_more_than_they_are_worth(self, app: Connection, shop: Shop) -> None:
        club = open_club(app, point_value=0.02)
        post(app, club, "bonus", 1099)
        with pytest.raises(errors.CheckViolation, match="it has 1099 points"):
            sell(app, shop, self.POINTS, customer=str(club.customer))

    @pytest.mark.parametrize("given", [{}, {"point_value": 0.02, "stranger": True}])
    def test_somebody_has_to_have_them(
        self, app: Connection, shop: Shop, given: dict[str, Any]
    ) -> None:
        stranger = given.pop("stranger", False)
        club = open_club(app, **given)
        post(app, club, "bonus", 2000)
        customer = {} if stranger else {"customer": str(club.customer)}
        with pytest.raises(errors.CheckViolation, match="has no points to pay with"):
            sell(app, shop, self.POINTS, **customer)

    def test_for_who_left_the_desk_finds_a_way(self, app: Connection, shop: Shop) -> None:
        club = open_club(app, point_value=0.02)
        post(app, club, "bonus", 1100)
        sold = sell(app, shop, self.POINTS, customer=str(club.customer))
        app.execute("SELECT ret.close_loyalty_account(%s, 'left')", [club.account])
        take_back(app, sold, shop, 1)
        assert one(app, "SELECT state, amount FROM ret.refund") == ("approved", 11)


class TestTier:
    QUALIFY = "SELECT ret.qualify_tiers(now() + %s * interval '1 day')"

    @pytest.fixture
    def ladder(self, app: Connection, club: Club) -> list[UUID]:
        """Three tiers: from the start, from 100, and from 300 with two orders."""
        return [
            tier(app, club, 1, 0),
            tier(app, club, 2, 100, retain_days=60),
            tier(app, club, 3, 300, qualify_orders=2, retain_days=60),
        ]

    def spend(self, app: Connection, club: Club, amount: float) -> UUID:
        sold = row(app, "ret.sales_order")
        post(app, club, "pending", 1, sales_order_id=sold, basis_amount=amount)
        return sold

    def held(self, app: Connection) -> Any:
        return one(
            app,
            "SELECT loyalty_tier_id, tier_spend, tier_expires_on - ret.business_day()"
            " FROM ret.loyalty_account",
        )

    def test_it_follows_what_was_spent(
        self, app: Connection, club: Club, ladder: list[UUID]
    ) -> None:
        assert one(app, self.QUALIFY, 0) == 1
        assert self.held(app) == (ladder[0], 0, None)
        self.spend(app, club, 300)
        assert one(app, self.QUALIFY, 0) == 1
        assert self.held(app) == (ladder[1], 300, 60)
        self.spend(app, club, 1)
        assert one(app, self.QUALIFY, 0) == 1
        assert self.held(app) == (ladder[2], 301, 60)
        assert one(app, self.QUALIFY, 0) == 0

    def test_it_is_kept_for_a_while(self, app: Connection, club: Club, ladder: list[UUID]) -> None:
        self.spend(app, club, 100)
        app.execute(self.QUALIFY, [0])
        assert one(app, self.QUALIFY, 364) == 0
        assert self.held(app) == (ladder[1], 100, 364 + 60)
        assert one(app, self.QUALIFY, 366) == 0
        assert self.held(app) == (ladder[1], 0, 364 + 60)
        assert one(app, self.QUALIFY, 424) == 0
        assert one(app, self.QUALIFY, 425) == 1
        assert self.held(app) == (ladder[0], 0, None)

    def test_what_came_back_was_not_spent(
        self, app: Connection, club: Club, ladder: list[UUID]
    ) -> None:
        sold = self.spend(app, club, 150)
        app.execute(self.QUALIFY, [0])
        post(app, club, "reverse", -1, sales_order_id=sold, basis_amount=-150)
        assert one(app, "SELECT spend, orders FROM ret.tier_standings()") == (0, 0)
        assert one(app, self.QUALIFY, 0) == 0
        assert self.held(app) == (ladder[1], 0, 60)
        assert one(app, self.QUALIFY, 61) == 1

    def test_a_closed_account_has_none(
        self, app: Connection, club: Club, ladder: list[UUID]
    ) -> None:
        self.spend(app, club, 150)
        app.execute(self.QUALIFY, [0])
        app.execute("SELECT ret.close_loyalty_account(%s, 'left')", [club.account])
        assert one(app, self.QUALIFY, 0) == 0
        assert self.held(app)[0] is None

    def test_without_a_first_tier_there_is_none(self, app: Connection, club: Club) -> None:
        tier(app, club, 1, 100)
        assert one(app, self.QUALIFY, 0) == 0
        assert self.held(app) == (None, 0, None)


class TestAtOnce:
    """Two who want the same points, or the same reward, take turns."""

    @pytest.fixture
    def place(self, deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID]:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            add_account(connection, tenant, "ada")
        return target, tenant

    def test_the_last_points_are_spent_once(self, place: tuple[Target, UUID]) -> None:
        target, tenant = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            club = open_club(connection)
            post(connection, club, "bonus", 250)
            offer = reward(connection, club)

        def redeem(connection: Connection, number: int) -> str:
            return outcome(
                connection, lambda: connection.execute(TestReward.BUY, [club.account, offer])
            )

        assert sorted(at_once(target, tenant, 6, redeem)) == ["done"] * 2 + ["refused"] * 4
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert stands(connection, club) == (50, 0)
            assert one(connection, "SELECT count(*) FROM ret.reward_issue") == 2
            assert differences(connection) == []

    def test_the_last_reward_goes_to_one(self, place: tuple[Target, UUID]) -> None:
        target, tenant = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            club = open_club(connection)
            members = [
                row(connection, "ret.loyalty_account", loyalty_program_id=club.program)
                for _ in range(5)
            ]
            for member in members:
                post(connection, Club(club.program, member, member), "bonus", 100)
            offer = reward(connection, club, stock_limit=2)

        def redeem(connection: Connection, number: int) -> str:
            return outcome(
                connection, lambda: connection.execute(TestReward.BUY, [members[number], offer])
            )

        assert sorted(at_once(target, tenant, 5, redeem)) == ["done"] * 2 + ["refused"] * 3
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            spent = "SELECT count(*) FROM ret.loyalty_account WHERE lifetime_points = 100"
            assert one(connection, f"{spent} AND point_balance = 0") == 2
            assert differences(connection) == []

    def test_points_are_confirmed_once(self, place: tuple[Target, UUID]) -> None:
        target, tenant = place
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            club = open_club(connection)
            for _ in range(3):
                sold = row(connection, "ret.sales_order")
                post(connection, club, "pending", 10, sales_order_id=sold)

        def confirm(connection: Connection, number: int) -> int:
            found = one(connection, f"SELECT ret.confirm_points({LATER})")
            connection.commit()
            return int(found)

        assert sum(at_once(target, tenant, 4, confirm)) == 30
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert stands(connection, club) == (30, 0)
            assert differences(connection) == []
