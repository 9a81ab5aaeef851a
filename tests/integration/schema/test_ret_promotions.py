"""Promotions take off what they promise, to the cent, and never more than their limits allow."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_customers import change, found, imported

NOON = "2026-05-04 17:00+00"  # a Monday, noon in Chicago

PROMOTION = {
    "draft": {"scheduled", "active", "ended"},
    "scheduled": {"draft", "active", "ended"},
    "active": {"paused", "ended"},
    "paused": {"active", "ended"},
    "ended": set(),
}
COUPON = {
    "issued": {"active", "exhausted", "expired", "revoked"},
    "active": {"exhausted", "expired", "revoked"},
    "exhausted": {"active"},
    "expired": set(),
    "revoked": set(),
}


def variant(connection: Connection, **product: Any) -> UUID:
    made = row(connection, "ret.product", **product)
    return row(connection, "ret.product_variant", product_id=made)


def offer(connection: Connection, code: str, reward: dict[str, Any], **given: Any) -> UUID:
    """A promotion that is on and gives one reward, on each target unless it says otherwise."""
    made = row(connection, "ret.promotion", promotion_code=code, state="active", **given)
    reward = {"reward_kind": "percent", "applies_to": "each_target", **reward}
    row(connection, "ret.promotion_reward", promotion_id=made, **reward)
    return made


def rule(connection: Connection, promotion: UUID, **given: Any) -> UUID:
    if isinstance(given.get("condition_doc"), dict):
        given["condition_doc"] = json.dumps(given["condition_doc"])
    return row(connection, "ret.promotion_rule", promotion_id=promotion, **given)


def basket(*lines: tuple[UUID, float, float]) -> str:
    """Lines a, b, c … of (variant, quantity, unit price)."""
    return json.dumps(
        [
            {"line": "abcdefgh"[n], "variant": str(v), "quantity": q, "unit_price": p}
            for n, (v, q, p) in enumerate(lines)
        ]
    )


def promote(connection: Connection, lines: str, **given: Any) -> dict[str, dict[str, float]]:
    """What each promotion takes off: {code: {line: amount}}, shipping and points by their name."""
    rows = connection.execute(
        "SELECT p.promotion_code, b.line, b.amount, b.points"
        " FROM ret.promote_basket(%s::jsonb, %s, %s, %s, %s::text[], %s::numeric, %s) AS b"
        " JOIN ret.promotion AS p USING (promotion_id)",
        [
            lines,
            given.get("channel"),
            given.get("location"),
            given.get("customer"),
            given.get("codes", []),
            given.get("shipping", 0),
            given.get("at", NOON),
        ],
    ).fetchall()
    answer: dict[str, dict[str, float]] = {}
    for code, line, amount, points in rows:
        parts = answer.setdefault(code, {})
        if line is not None:
            parts[line] = float(amount)
        else:
            parts |= {"shipping": float(amount)} if amount else {}
            parts |= {"points": float(points)} if points else {}
    return answer


@pytest.fixture
def shirt(app: Connection) -> UUID:
    return variant(app)


@pytest.fixture
def tie(app: Connection) -> UUID:
    return variant(app)


class TestRules:
    """What no row may say."""

    @pytest.mark.parametrize(
        ("table", "columns", "truth"),
        [
            ("promotion", {"ends_at": "2025-12-31"}, "ends_after_start"),
            ("promotion", {"max_redemptions": 0}, "limits_positive"),
            ("promotion", {"budget_amount": 0}, "limits_positive"),
            ("promotion", {"max_redemptions": 1, "redeemed_count": 2}, "at_most_allowed"),
            ("promotion", {"budget_amount": 5, "budget_used": 6}, "at_most_its_budget"),
            ("promotion", {"stacking": "best_of_group"}, "best_of_some_group"),
            ("promotion", {"stacking": "exclusive", "stacking_group": "x"}, "has_no_group"),
            ("promotion_rule", {"rule_kind": "brand"}, "names_what_its_kind_says"),
            ("promotion_rule", {"rule_kind": "item"}, "names_what_its_kind_says"),
            ("promotion_rule", {"rule_kind": "customer"}, "names_what_its_kind_says"),
            ("promotion_rule", {"rule_kind": "basket_total"}, "has_a_measure"),
            ("promotion_rule", {"rule_kind": "basket_qty"}, "has_a_measure"),
            ("promotion_rule", {"min_qty": -1}, "measures_not_negative"),
            ("promotion_rule", {"rule_role": "target"}, "targets_are_goods"),
            ("promotion_rule", {"rule_role": "exclusion"}, "targets_are_goods"),
            (
                "promotion_rule",
                {"rule_kind": "basket_total", "min_amount": 5, "compare": "between"},
                "between_has_upper",
            ),
            ("promotion_rule", {"rule_kind": "item", "compare": "in"}, "lists_are_conditions"),
            (
                "promotion_rule",
                {"rule_kind": "item", "compare": "in", "condition_doc": '{"sku": "A"}'},
                "condition_is_a_tree",
            ),
            ("promotion_rule", {"rule_kind": "time_window"}, "window_has_days_or_hours"),
            ("promotion_reward", {"reward_value": None}, "has_value"),
            ("promotion_reward", {"reward_value": 101}, "value_bounded"),
            ("promotion_reward", {"reward_value": -1}, "value_bounded"),
            ("promotion_reward", {"reward_kind": "free_item"}, "gives_what_is_free"),
            ("promotion_reward", {"reward_kind": "shipping"}, "shipping_off_shipping"),
            ("promotion_reward", {"applies_to": "shipping"}, "shipping_off_shipping"),
            (
                "promotion_reward",
                {"reward_kind": "fixed_price", "applies_to": "order"},
                "order_has_no_one_price",
            ),
            ("promotion_reward", {"max_units": 0}, "limits_positive"),
            ("promotion_reward", {"max_amount": 0}, "limits_positive"),
            ("promotion_reward", {"reward_qty": 1}, "gives_for_something"),
            ("promotion_reward", {"tier_threshold": -1}, "tier_not_negative"),
            ("coupon", {"max_uses": 0}, "limits_positive"),
            ("coupon", {"max_uses": 1, "used_count": 2}, "used_at_most_allowed"),
            ("coupon", {"coupon_kind": "unique"}, "unique_is_used_once"),
            ("coupon", {"coupon_kind": "personal"}, "personal_has_owner"),
            ("coupon", {"expires_at": "2000-01-01"}, "expires_after_start"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, table: str, columns: dict[str, Any], truth: str
    ) -> None:
        if table == "promotion_reward":
            columns = {"reward_value": 10, **columns}
        with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
            row(app, f"ret.{table}", **columns)

    @pytest.mark.parametrize("before", PROMOTION)
    @pytest.mark.parametrize("after", PROMOTION)
    def test_states_of_a_promotion(self, app: Connection, before: str, after: str) -> None:
        made = imported(app, "ret.promotion", state=before)
        row(app, "ret.promotion_reward", promotion_id=made, reward_value=5)
        if after in PROMOTION[before] | {before}:
            change(app, "promotion", made, state=after)
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "promotion", made, state=after)

    @pytest.mark.parametrize(
        ("kind", "reward", "wrong"),
        [
            ("percent_off", None, "gives nothing"),
            ("buy_x_get_y", {}, "how many to buy and to get"),
            (
                "buy_x_get_y",
                {"qualifying_qty": 1, "reward_qty": 2},
                "more of the same than is bought",
            ),
            ("tiered", {}, "a tier that begins nowhere"),
            ("free_shipping", {}, "does not take off shipping"),
        ],
    )
    def test_only_what_is_whole_goes_live(
        self, app: Connection, kind: str, reward: dict[str, Any] | None, wrong: str
    ) -> None:
        made = row(app, "ret.promotion", promotion_kind=kind)
        if reward is not None:
            given = {"promotion_id": made, "reward_value": 10, **reward}
            row(app, "ret.promotion_reward", **given)
        with pytest.raises(errors.CheckViolation, match=wrong):
            change(app, "promotion", made, state="scheduled")

    def test_more_is_given_of_other_goods(self, app: Connection, shirt: UUID) -> None:
        made = row(app, "ret.promotion", promotion_kind="buy_x_get_y")
        given = {"reward_value": 100, "qualifying_qty": 1, "reward_qty": 2}
        row(app, "ret.promotion_reward", promotion_id=made, **given)
        rule(app, made, rule_kind="item", product_variant_id=shirt)
        change(app, "promotion", made, state="active")

    def test_rules_and_rewards_go_with_their_promotion(self, app: Connection) -> None:
        made = offer(app, "GONE", {"reward_value": 10})
        rule(app, made)
        app.execute("DELETE FROM ret.promotion")
        left = (
            "SELECT (SELECT count(*) FROM ret.promotion_rule)"
            " + (SELECT count(*) FROM ret.promotion_reward)"
        )
        assert found(app, left) == 0


class TestConditions:
    """A tree over facts."""

    FACTS = json.dumps({"brand": "ACME", "category": ["MEN", "TOPS"], "price": 20, "none": None})

    @pytest.mark.parametrize(
        ("doc", "holds"),
        [
            ({"attribute": "brand", "compare": "eq", "value": "ACME"}, True),
            ({"attribute": "brand", "compare": "eq", "value": "OTHER"}, False),
            ({"attribute": "brand", "compare": "in", "values": ["X", "ACME"]}, True),
            ({"attribute": "brand", "compare": "in", "values": []}, False),
            ({"attribute": "category", "compare": "eq", "value": "TOPS"}, True),
            ({"attribute": "category", "compare": "in", "values": ["X", "MEN"]}, True),
            ({"attribute": "category", "compare": "in", "values": ["X"]}, False),
            ({"attribute": "price", "compare": "gte", "value": 20}, True),
            ({"attribute": "price", "compare": "gte", "value": 20.01}, False),
            ({"attribute": "price", "compare": "lte", "value": 20}, True),
            ({"attribute": "price", "compare": "lte", "value": 19.99}, False),
            ({"attribute": "price", "compare": "between", "value": 20, "upper": 30}, True),
            ({"attribute": "price", "compare": "between", "value": 21, "upper": 30}, False),
            ({"attribute": "brand", "compare": "gte", "value": 1}, False),
            ({"attribute": "nothing", "compare": "eq", "value": 1}, False),
        ],
    )
    def test_a_leaf(self, app: Connection, doc: dict[str, Any], holds: bool) -> None:
        text = json.dumps(doc)
        call = "SELECT ret.is_predicate(%s), ret.condition_holds(%s, %s)"
        assert found(app, call, text, text, self.FACTS) == (True, holds)

    YES: ClassVar[dict[str, Any]] = {"attribute": "price", "compare": "eq", "value": 20}
    NO: ClassVar[dict[str, Any]] = {"attribute": "price", "compare": "eq", "value": 21}

    @pytest.mark.parametrize(
        ("doc", "holds"),
        [
            ({"and": [YES, YES]}, True),
            ({"and": [YES, NO]}, False),
            ({"or": [NO, YES]}, True),
            ({"or": [NO, NO]}, False),
            ({"not": NO}, True),
            ({"not": YES}, False),
            ({"and": [{"or": [NO, YES]}, {"not": {"and": [YES, NO]}}]}, True),
        ],
    )
    def test_a_branch(self, app: Connection, doc: dict[str, Any], holds: bool) -> None:
        text = json.dumps(doc)
        call = "SELECT ret.is_predicate(%s), ret.condition_holds(%s, %s)"
        assert found(app, call, text, text, self.FACTS) == (True, holds)

    @pytest.mark.parametrize(
        "doc",
        [
            [],
            {},
            {"and": []},
            {"and": YES},
            {"and": [YES], "or": [NO]},
            {"or": [YES, {}]},
            {"not": {}},
            {"not": YES, "attribute": "x"},
            {"attribute": "x", "compare": "like", "value": "y"},
            {"attribute": " ", "compare": "eq", "value": "y"},
            {"attribute": "x", "compare": "eq"},
            {"attribute": "x", "compare": "in", "value": "y"},
            {"attribute": "x", "compare": "gte", "value": "5"},
            {"attribute": "x", "compare": "between", "value": 5},
        ],
    )
    def test_what_is_no_tree(self, app: Connection, doc: Any) -> None:
        assert found(app, "SELECT ret.is_predicate(%s)", json.dumps(doc)) is False

    @pytest.mark.parametrize(
        ("clock", "doc", "inside"),
        [
            ("2026-05-04 12:00", {"weekdays": [1]}, True),
            ("2026-05-10 12:00", {"weekdays": [1, 6]}, False),
            ("2026-05-10 12:00", {"weekdays": [7]}, True),
            ("2026-05-04 12:00", {"from": "12:00", "to": "14:00"}, True),
            ("2026-05-04 14:00", {"from": "12:00", "to": "14:00"}, False),
            ("2026-05-04 11:59", {"from": "12:00"}, False),
            ("2026-05-04 23:59", {"from": "12:00"}, True),
            ("2026-05-04 23:00", {"from": "22:00", "to": "02:00"}, True),
            ("2026-05-04 01:59", {"from": "22:00", "to": "02:00"}, True),
            ("2026-05-04 02:00", {"from": "22:00", "to": "02:00"}, False),
            ("2026-05-04 12:00", {"weekdays": [2], "from": "12:00"}, False),
        ],
    )
    def test_a_time_window(
        self, app: Connection, clock: str, doc: dict[str, Any], inside: bool
    ) -> None:
        call = "SELECT ret.in_time_window(%s::timestamp, %s::jsonb)"
        assert found(app, call, clock, json.dumps(doc)) is inside

    def test_the_variants_that_a_tree_names(self, app: Connection) -> None:
        first, second, third = (
            row(app, "ret.product_variant", sku=sku) for sku in ("ONE", "TWO", "THREE")
        )
        made = offer(app, "NAMED", {"reward_value": 10})
        tree = {
            "or": [
                {"attribute": "sku", "compare": "in", "values": ["ONE", "TWO", "GONE"]},
                {"not": {"attribute": "sku", "compare": "eq", "value": "THREE"}},
                {"attribute": "brand", "compare": "eq", "value": "ONE"},
            ]
        }
        rule(app, made, rule_kind="item", compare="in", condition_doc=tree)
        rule(app, made)
        named = app.execute(
            "SELECT product_variant_id FROM ret.variants_named(%s)", [made]
        ).fetchall()
        assert sorted(named) == sorted([(first,), (second,), (third,)])


class TestSpreading:
    """An amount is spread to the cent."""

    @pytest.mark.parametrize(
        ("total", "shares", "caps", "parts"),
        [
            (10, [1, 1, 1], [9, 9, 9], [3.34, 3.33, 3.33]),
            (0.01, [5, 5], [5, 5], [0.01, 0]),
            (10, [30, 10], [30, 10], [7.50, 2.50]),
            (5, [0, 2, 0], [1, 9, 1], [0, 5, 0]),
            (40, [30, 10], [30, 10], [30, 10]),
            (1000.01, [1000, 0.005], [1000, 0.01], [1000, 0.01]),
            (0, [1, 2], [1, 2], [0, 0]),
            (7, [0, 0], [5, 5], [0, 0]),
        ],
    )
    def test_the_parts_sum_to_it(
        self,
        app: Connection,
        total: float,
        shares: list[float],
        caps: list[float],
        parts: list[float],
    ) -> None:
        call = "SELECT ret.spread(%s::numeric, %s::numeric[], %s::numeric[])::float[]"
        assert found(app, call, total, [*map(float, shares)], [*map(float, caps)]) == parts


class TestRewards:
    """What each kind of reward takes off."""

    @pytest.mark.parametrize(
        ("reward", "lines", "off"),
        [
            # (shirts, price), (ties, price)
            ({"reward_value": 15}, [(1, 9.99)], {"a": 1.5}),
            ({"reward_value": 10}, [(2, 10), (1, 5)], {"a": 2, "b": 0.5}),
            ({"reward_value": 100}, [(2, 10)], {"a": 20}),
            ({"reward_value": 0}, [(2, 10)], {}),
            ({"reward_value": 10, "max_units": 3}, [(2, 10), (4, 20)], {"b": 6}),
            ({"reward_value": 50, "max_amount": 7}, [(2, 10), (1, 20)], {"a": 3.5, "b": 3.5}),
            (
                {"reward_value": 10, "applies_to": "order"},
                [(1, 9.99), (1, 9.99)],
                {"a": 1, "b": 1},
            ),
            ({"reward_kind": "amount", "reward_value": 3}, [(2, 10), (1, 2)], {"a": 6, "b": 2}),
            (
                {"reward_kind": "amount", "reward_value": 10, "applies_to": "order"},
                [(3, 10), (1, 10)],
                {"a": 7.5, "b": 2.5},
            ),
            (
                {"reward_kind": "amount", "reward_value": 99, "applies_to": "order"},
                [(1, 30), (1, 10)],
                {"a": 30, "b": 10},
            ),
            ({"reward_kind": "fixed_price", "reward_value": 8}, [(2, 10), (1, 7)], {"a": 4}),
            ({"reward_value": 50, "applies_to": "cheapest"}, [(2, 10), (1, 8)], {"b": 4}),
            ({"reward_value": 50, "applies_to": "most_expensive"}, [(2, 10), (1, 8)], {"a": 5}),
            (
                {"reward_value": 50, "applies_to": "cheapest", "max_units": 2},
                [(2, 10), (1, 8)],
                {"a": 5, "b": 4},
            ),
            (
                {"reward_value": 100, "applies_to": "cheapest", "allocation": "pro_rata"},
                [(2, 10), (1, 5)],
                {"a": 4, "b": 1},
            ),
            # From three pieces on.
            ({"reward_value": 10, "qualifying_qty": 3}, [(2, 10)], {}),
            ({"reward_value": 10, "qualifying_qty": 3}, [(2, 10), (1, 5)], {"a": 2, "b": 0.5}),
            ({"reward_value": 10}, [(0.35, 19.9)], {"a": 0.7}),
        ],
    )
    def test_off_a_basket(
        self,
        app: Connection,
        shirt: UUID,
        tie: UUID,
        reward: dict[str, Any],
        lines: list[tuple[float, float]],
        off: dict[str, float],
    ) -> None:
        offer(app, "OFF", reward)
        goods = basket(*((v, *line) for v, line in zip((shirt, tie), lines, strict=False)))
        assert promote(app, goods) == ({"OFF": off} if off else {})

    @pytest.mark.parametrize(("pieces", "off"), [(2, 0), (3, 5), (5, 5), (6, 10), (7, 10), (9, 15)])
    def test_three_for_two(self, app: Connection, shirt: UUID, pieces: float, off: float) -> None:
        reward = {"reward_value": 100, "qualifying_qty": 2, "reward_qty": 1}
        offer(app, "3FOR2", {**reward, "applies_to": "cheapest"})
        expected = {"3FOR2": {"a": off}} if off else {}
        assert promote(app, basket((shirt, pieces, 5))) == expected

    def test_of_three_the_cheapest_is_free(self, app: Connection, shirt: UUID, tie: UUID) -> None:
        reward = {"reward_value": 100, "qualifying_qty": 2, "reward_qty": 1}
        offer(app, "3FOR2", {**reward, "applies_to": "cheapest"})
        assert promote(app, basket((shirt, 2, 20), (tie, 1, 6))) == {"3FOR2": {"b": 6}}

    def test_and_its_price_is_spread_over_the_set(
        self, app: Connection, shirt: UUID, tie: UUID
    ) -> None:
        reward = {"reward_value": 100, "qualifying_qty": 2, "reward_qty": 1}
        offer(app, "3FOR2", {**reward, "applies_to": "cheapest", "allocation": "pro_rata"})
        lines = basket((shirt, 2, 20), (tie, 1, 10))
        assert promote(app, lines) == {"3FOR2": {"a": 8, "b": 2}}

    @pytest.mark.parametrize(
        ("shirts", "ties", "off"), [(1, 1, 0), (2, 1, 5), (2, 3, 5), (4, 3, 10), (4, 0, 0)]
    )
    def test_two_shirts_bring_a_tie(
        self,
        app: Connection,
        shirt: UUID,
        tie: UUID,
        shirts: float,
        ties: float,
        off: float,
    ) -> None:
        made = offer(app, "TIE", {"reward_value": 50, "qualifying_qty": 2, "reward_qty": 1})
        rule(app, made, rule_kind="item", product_variant_id=shirt)
        rule(app, made, rule_role="target", rule_kind="item", product_variant_id=tie)
        lines = [(shirt, shirts, 30)] + ([(tie, ties, 10)] if ties else [])
        assert promote(app, basket(*lines)) == ({"TIE": {"b": off}} if off else {})

    @pytest.mark.parametrize(("pieces", "off"), [(1, 0), (2, 4), (3, 4), (4, 8)])
    def test_two_for_one_price(
        self, app: Connection, shirt: UUID, pieces: float, off: float
    ) -> None:
        offer(
            app, "2FOR20", {"reward_kind": "fixed_price", "reward_value": 20, "qualifying_qty": 2}
        )
        expected = {"2FOR20": {"a": off}} if off else {}
        assert promote(app, basket((shirt, pieces, 12))) == expected

    def test_a_bundle_of_both_parts_by_their_price(
        self, app: Connection, shirt: UUID, tie: UUID
    ) -> None:
        offer(app, "SET", {"reward_kind": "fixed_price", "reward_value": 30, "qualifying_qty": 2})
        lines = basket((shirt, 1, 30), (tie, 1, 10))
        assert promote(app, lines) == {"SET": {"a": 7.5, "b": 2.5}}

    def test_a_bundle_that_costs_more_takes_nothing_off(self, app: Connection, shirt: UUID) -> None:
        offer(
            app, "2FOR20", {"reward_kind": "fixed_price", "reward_value": 20, "qualifying_qty": 2}
        )
        assert promote(app, basket((shirt, 2, 8))) == {}

    @pytest.mark.parametrize(("pieces", "off"), [(1, 10), (2, 10)])
    def test_a_gift_is_free_once(
        self, app: Connection, shirt: UUID, tie: UUID, pieces: float, off: float
    ) -> None:
        made = offer(app, "GIFT", {"reward_kind": "free_item", "gift_variant_id": tie})
        rule(app, made, rule_kind="basket_total", min_amount=50)
        lines = basket((shirt, 1, 50), (tie, pieces, 10))
        assert promote(app, lines) == {"GIFT": {"b": off}}

    def test_a_gift_that_is_not_in_the_basket_takes_nothing_off(
        self, app: Connection, shirt: UUID, tie: UUID
    ) -> None:
        offer(app, "GIFT", {"reward_kind": "free_item", "gift_variant_id": tie})
        assert promote(app, basket((shirt, 1, 50))) == {}

    @pytest.mark.parametrize(
        ("value", "cap", "off"), [(None, None, 8.9), (5, None, 5), (None, 3, 3), (20, None, 8.9)]
    )
    def test_shipping(
        self,
        app: Connection,
        shirt: UUID,
        value: float | None,
        cap: float | None,
        off: float,
    ) -> None:
        reward = {"reward_kind": "shipping", "applies_to": "shipping"}
        offer(app, "SHIP", {**reward, "reward_value": value, "max_amount": cap})
        assert promote(app, basket((shirt, 1, 50)), shipping=8.9) == {"SHIP": {"shipping": off}}

    def test_two_do_not_take_the_same_shipping_off(self, app: Connection, shirt: UUID) -> None:
        reward = {"reward_kind": "shipping", "applies_to": "shipping", "reward_value": 6}
        offer(app, "ONE", reward, priority_no=1)
        offer(app, "TWO", reward, priority_no=2)
        off = promote(app, basket((shirt, 1, 50)), shipping=8)
        assert off == {"ONE": {"shipping": 6}, "TWO": {"shipping": 2}}

    def test_points_take_nothing_off(self, app: Connection, shirt: UUID) -> None:
        offer(app, "BONUS", {"reward_kind": "points", "applies_to": "order", "reward_value": 200})
        assert promote(app, basket((shirt, 1, 50))) == {"BONUS": {"points": 200}}

    @pytest.mark.parametrize(
        ("price", "off"), [(79.99, 0), (80, 4), (149, 7.45), (150, 15), (900, 90)]
    )
    def test_the_highest_tier_that_is_reached_counts(
        self, app: Connection, shirt: UUID, price: float, off: float
    ) -> None:
        tier = {"applies_to": "order"}
        made = offer(app, "MORE", {"reward_value": 5, "tier_threshold": 80, **tier})
        row(
            app,
            "ret.promotion_reward",
            promotion_id=made,
            reward_value=10,
            tier_threshold=150,
            **tier,
        )
        assert promote(app, basket((shirt, 1, price))) == ({"MORE": {"a": off}} if off else {})

    def test_all_rewards_of_a_promotion_are_given(self, app: Connection, shirt: UUID) -> None:
        made = offer(app, "BOTH", {"reward_value": 10})
        row(
            app,
            "ret.promotion_reward",
            promotion_id=made,
            reward_kind="shipping",
            applies_to="shipping",
        )
        off = promote(app, basket((shirt, 1, 50)), shipping=4)
        assert off == {"BOTH": {"a": 5, "shipping": 4}}

    def test_nothing_is_taken_off_a_gift_card(self, app: Connection, shirt: UUID) -> None:
        card = variant(app, product_kind="gift_card")
        offer(app, "OFF", {"reward_value": 10})
        assert promote(app, basket((shirt, 1, 10), (card, 1, 50))) == {"OFF": {"a": 1}}

    @pytest.mark.parametrize("lines", ["[]", '[{"line": "a", "quantity": 1, "unit_price": 5}]'])
    def test_nothing_is_taken_off_nothing(self, app: Connection, lines: str) -> None:
        offer(app, "OFF", {"reward_value": 10})
        assert promote(app, lines) == {}


class TestQualifying:
    """When a promotion applies, and on what."""

    @pytest.fixture
    def goods(self, app: Connection) -> dict[str, UUID]:
        """A shirt, by all that rules may name it."""
        above = row(app, "ret.category")
        category = row(app, "ret.category", parent_category_id=above, level_kind="class")
        brand = row(app, "ret.brand")
        product = row(app, "ret.product", main_category_id=category, brand_id=brand)
        collection = row(app, "ret.collection")
        row(app, "ret.collection_product", collection_id=collection, product_id=product)
        web = row(app, "ret.category", level_kind="web")
        row(app, "ret.product_category", product_id=product, category_id=web)
        return {
            "variant": row(app, "ret.product_variant", product_id=product, sku="SHIRT"),
            "product": product,
            "category": category,
            "above": above,
            "web": web,
            "brand": brand,
            "collection": collection,
        }

    def naming(self, how: str, goods: dict[str, UUID]) -> dict[str, Any]:
        return {
            "variant": {"rule_kind": "item", "product_variant_id": goods["variant"]},
            "product": {"rule_kind": "item", "product_id": goods["product"]},
            "category": {"rule_kind": "category", "category_id": goods["category"]},
            "above": {"rule_kind": "category", "category_id": goods["above"]},
            "web": {"rule_kind": "category", "category_id": goods["web"]},
            "brand": {"rule_kind": "brand", "brand_id": goods["brand"]},
            "collection": {"rule_kind": "collection", "collection_id": goods["collection"]},
            "tree": {
                "rule_kind": "item",
                "compare": "in",
                "condition_doc": {"attribute": "sku", "compare": "eq", "value": "SHIRT"},
            },
        }[how]

    HOWS = ("variant", "product", "category", "above", "web", "brand", "collection", "tree")

    @pytest.mark.parametrize("how", HOWS)
    def test_a_target(self, app: Connection, goods: dict[str, UUID], tie: UUID, how: str) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, rule_role="target", **self.naming(how, goods))
        lines = basket((tie, 1, 10), (goods["variant"], 1, 30))
        assert promote(app, lines) == {"OFF": {"b": 3}}

    @pytest.mark.parametrize("how", HOWS)
    def test_an_exclusion(
        self, app: Connection, goods: dict[str, UUID], tie: UUID, how: str
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, rule_role="exclusion", **self.naming(how, goods))
        lines = basket((tie, 1, 10), (goods["variant"], 1, 30))
        assert promote(app, lines) == {"OFF": {"a": 1}}

    @pytest.mark.parametrize("how", HOWS)
    def test_a_qualifier(
        self, app: Connection, goods: dict[str, UUID], tie: UUID, how: str
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10, "applies_to": "order"})
        rule(app, made, **self.naming(how, goods))
        assert promote(app, basket((tie, 1, 10))) == {}
        lines = basket((tie, 1, 10), (goods["variant"], 1, 30))
        assert promote(app, lines) == {"OFF": {"a": 1, "b": 3}}

    def test_a_product_that_left_the_collection(
        self, app: Connection, goods: dict[str, UUID]
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, **self.naming("collection", goods))
        app.execute(
            "UPDATE ret.collection_product SET added_at = '2026-01-01', removed_at = '2026-05-01'"
        )
        assert promote(app, basket((goods["variant"], 1, 30))) == {}

    def test_without_targets_what_qualifies_is_discounted(
        self, app: Connection, goods: dict[str, UUID], tie: UUID
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, **self.naming("brand", goods))
        lines = basket((tie, 1, 10), (goods["variant"], 1, 30))
        assert promote(app, lines) == {"OFF": {"b": 3}}

    def test_a_target_of_all_others(self, app: Connection, shirt: UUID, tie: UUID) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(
            app,
            made,
            rule_role="target",
            rule_kind="item",
            product_variant_id=shirt,
            is_negated=True,
        )
        assert promote(app, basket((shirt, 1, 30), (tie, 1, 10))) == {"OFF": {"b": 1}}

    def test_a_qualifier_that_must_not_be_there(
        self, app: Connection, shirt: UUID, tie: UUID
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10, "applies_to": "order"})
        rule(app, made, rule_kind="item", product_variant_id=tie, is_negated=True)
        assert promote(app, basket((shirt, 1, 30))) == {"OFF": {"a": 3}}
        assert promote(app, basket((shirt, 1, 30), (tie, 1, 10))) == {}

    @pytest.mark.parametrize(
        ("given", "qty", "applies"),
        [
            ({"min_qty": 3}, 2, False),
            ({"min_qty": 3}, 3, True),
            ({"min_amount": 30}, 2, False),
            ({"min_amount": 30}, 3, True),
            ({"min_qty": 3, "compare": "lte"}, 3, True),
            ({"min_qty": 3, "compare": "lte"}, 4, False),
            ({"min_qty": 2, "compare": "between", "condition_doc": {"upper": 3}}, 3, True),
            ({"min_qty": 2, "compare": "between", "condition_doc": {"upper": 3}}, 4, False),
        ],
    )
    def test_so_many_of_the_goods(
        self,
        app: Connection,
        shirt: UUID,
        given: dict[str, Any],
        qty: float,
        applies: bool,
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, rule_kind="item", product_variant_id=shirt, **given)
        assert bool(promote(app, basket((shirt, qty, 10)))) is applies

    @pytest.mark.parametrize(
        ("given", "applies"),
        [
            ({"rule_kind": "basket_total", "min_amount": 50}, True),
            ({"rule_kind": "basket_total", "min_amount": 50.01}, False),
            ({"rule_kind": "basket_total", "min_amount": 50, "compare": "lte"}, True),
            ({"rule_kind": "basket_total", "min_amount": 49, "compare": "lte"}, False),
            ({"rule_kind": "basket_total", "min_amount": 50, "compare": "eq"}, True),
            (
                {
                    "rule_kind": "basket_total",
                    "min_amount": 40,
                    "compare": "between",
                    "condition_doc": {"upper": 49},
                },
                False,
            ),
            ({"rule_kind": "basket_qty", "min_qty": 3}, True),
            ({"rule_kind": "basket_qty", "min_qty": 4}, False),
        ],
    )
    def test_the_basket_as_a_whole(
        self, app: Connection, shirt: UUID, tie: UUID, given: dict[str, Any], applies: bool
    ) -> None:
        rule(app, offer(app, "OFF", {"reward_value": 10}), **given)
        assert bool(promote(app, basket((shirt, 2, 20), (tie, 1, 10)))) is applies

    def test_what_is_excluded_does_not_count(self, app: Connection, shirt: UUID, tie: UUID) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, rule_kind="basket_total", min_amount=50)
        rule(app, made, rule_role="exclusion", rule_kind="item", product_variant_id=tie)
        assert promote(app, basket((shirt, 2, 20), (tie, 1, 10))) == {}

    def test_rules_of_a_group_all_hold_groups_one_at_least(
        self, app: Connection, shirt: UUID
    ) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, group_no=1, rule_kind="basket_total", min_amount=50)
        rule(app, made, group_no=1, rule_kind="basket_qty", min_qty=5)
        rule(app, made, group_no=2, rule_kind="basket_total", min_amount=200)
        cases = {(2, 30): False, (5, 5): False, (5, 10): True, (1, 200): True}
        assert {line: bool(promote(app, basket((shirt, *line)))) for line in cases} == cases

    def test_for_members_of_a_group(self, app: Connection, shirt: UUID) -> None:
        group = row(app, "ret.customer_group")
        member = row(app, "ret.customer", customer_group_id=group)
        other = row(app, "ret.customer", customer_group_id=row(app, "ret.customer_group"))
        made = offer(app, "OFF", {"reward_value": 10})
        rule(app, made, rule_kind="customer", customer_group_id=group)
        lines = basket((shirt, 1, 10))
        got = [bool(promote(app, lines, customer=c)) for c in (member, other, None)]
        assert got == [True, False, False]

    def test_for_the_first_order(self, app: Connection, shirt: UUID) -> None:
        new = row(app, "ret.customer")
        times = {"first_order_at": "2026-01-01", "last_order_at": "2026-01-01"}
        old = row(app, "ret.customer", order_count=1, **times)
        rule(app, offer(app, "OFF", {"reward_value": 10}), rule_kind="first_order")
        lines = basket((shirt, 1, 10))
        got = [bool(promote(app, lines, customer=c)) for c in (new, old, None)]
        assert got == [True, False, False]

    def test_in_some_hours_as_they_are_in_the_store(self, app: Connection, shirt: UUID) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        window = {"weekdays": [1], "from": "12:00", "to": "13:00"}
        rule(app, made, rule_kind="time_window", condition_doc=window)
        tokyo = row(app, "ret.location", timezone="Asia/Tokyo")
        lines = basket((shirt, 1, 10))
        assert promote(app, lines, at="2026-05-04 17:00+00")
        assert not promote(app, lines, at="2026-05-04 18:00+00")
        assert not promote(app, lines, at="2026-05-04 17:00+00", location=tokyo)

    def test_on_its_channel(self, app: Connection, shirt: UUID) -> None:
        web, store = (row(app, "ret.sales_channel") for _ in range(2))
        offer(app, "WEB", {"reward_value": 10}, sales_channel_id=web)
        offer(app, "ALL", {"reward_value": 10})
        lines = basket((shirt, 1, 10))
        assert set(promote(app, lines, channel=web)) == {"WEB", "ALL"}
        assert set(promote(app, lines, channel=store)) == {"ALL"}

    @pytest.mark.parametrize("state", ["scheduled", "active"])
    @pytest.mark.parametrize(
        ("at", "applies"),
        [
            ("2026-05-01 05:59+00", False),
            ("2026-05-01 06:00+00", True),
            ("2026-05-31 05:59+00", True),
            ("2026-05-31 06:00+00", False),
        ],
    )
    def test_from_its_start_until_its_end(
        self, app: Connection, shirt: UUID, state: str, at: str, applies: bool
    ) -> None:
        made = row(
            app,
            "ret.promotion",
            state=state,
            starts_at="2026-05-01 06:00+00",
            ends_at="2026-05-31 06:00+00",
        )
        row(app, "ret.promotion_reward", promotion_id=made, reward_value=10)
        assert bool(promote(app, basket((shirt, 1, 10)), at=at)) is applies

    @pytest.mark.parametrize("state", ["draft", "paused", "ended"])
    def test_not_in_other_states(self, app: Connection, shirt: UUID, state: str) -> None:
        made = imported(app, "ret.promotion", state=state)
        row(app, "ret.promotion_reward", promotion_id=made, reward_value=10)
        assert promote(app, basket((shirt, 1, 10))) == {}

    @pytest.mark.parametrize(
        "used",
        [
            {"max_redemptions": 3, "redeemed_count": 3},
            {"budget_amount": 50, "budget_used": 50},
        ],
    )
    def test_not_when_it_is_used_up(
        self, app: Connection, shirt: UUID, used: dict[str, Any]
    ) -> None:
        offer(app, "OFF", {"reward_value": 10}, **used)
        assert promote(app, basket((shirt, 1, 10))) == {}

    def test_the_last_order_gets_what_is_left_of_the_budget(
        self, app: Connection, shirt: UUID, tie: UUID
    ) -> None:
        offer(app, "OFF", {"reward_value": 50}, budget_amount=50, budget_used=47)
        lines = basket((shirt, 1, 20), (tie, 1, 10))
        assert promote(app, lines) == {"OFF": {"a": 2, "b": 1}}

    def test_nothing_of_another_tenant(self, app: Connection, tenant: UUID, shirt: UUID) -> None:
        app.execute("RESET ROLE")
        become_app(app, add_tenant(app, "second"))
        offer(app, "THEIRS", {"reward_value": 50})
        become_app(app, tenant)
        assert promote(app, basket((shirt, 1, 10))) == {}


class TestStacking:
    """Which promotions go together, and in which order."""

    @pytest.fixture
    def lines(self, shirt: UUID) -> str:
        return basket((shirt, 1, 100))

    def test_each_takes_its_share_of_what_is_left(self, app: Connection, lines: str) -> None:
        offer(app, "TEN", {"reward_value": 10}, priority_no=2)
        offer(app, "HALF", {"reward_value": 50}, priority_no=1)
        assert promote(app, lines) == {"HALF": {"a": 50}, "TEN": {"a": 5}}

    def test_together_never_more_than_the_line_costs(self, app: Connection, lines: str) -> None:
        reward = {"reward_kind": "amount", "reward_value": 70}
        offer(app, "ONE", reward, priority_no=1)
        offer(app, "TWO", reward, priority_no=2)
        offer(app, "THREE", reward, priority_no=3)
        assert promote(app, lines) == {"ONE": {"a": 70}, "TWO": {"a": 30}}

    def test_of_equal_priority_the_one_that_gives_more_comes_first(
        self, app: Connection, lines: str
    ) -> None:
        offer(app, "LESS", {"reward_value": 10})
        offer(app, "MORE", {"reward_value": 20})
        assert promote(app, lines) == {"MORE": {"a": 20}, "LESS": {"a": 8}}

    def test_stackable_ones_of_other_groups_do_not_join(self, app: Connection, lines: str) -> None:
        offer(app, "A1", {"reward_value": 10}, stacking_group="a", priority_no=1)
        offer(app, "B1", {"reward_value": 50}, stacking_group="b", priority_no=2)
        offer(app, "NONE", {"reward_value": 50}, priority_no=3)
        offer(app, "A2", {"reward_value": 10}, stacking_group="a", priority_no=4)
        assert promote(app, lines) == {"A1": {"a": 10}, "A2": {"a": 9}}

    def test_of_a_group_the_best(self, app: Connection, lines: str) -> None:
        given = {"stacking": "best_of_group", "stacking_group": "codes"}
        offer(app, "LESS", {"reward_value": 10}, priority_no=1, **given)
        offer(app, "BEST", {"reward_value": 20}, priority_no=2, **given)
        assert promote(app, lines) == {"BEST": {"a": 20}}

    def test_the_best_of_each_group_and_a_stackable_one(self, app: Connection, lines: str) -> None:
        for group, value in (("x", 10), ("y", 20)):
            given = {"stacking": "best_of_group", "stacking_group": group}
            offer(app, group.upper(), {"reward_value": value}, priority_no=value, **given)
        offer(app, "Z", {"reward_value": 50}, priority_no=30)
        assert promote(app, lines) == {"X": {"a": 10}, "Y": {"a": 18}, "Z": {"a": 36}}

    def test_the_best_by_what_it_gives_here(self, app: Connection, shirt: UUID, tie: UUID) -> None:
        given = {"stacking": "best_of_group", "stacking_group": "codes"}
        offer(app, "TENOFF", {"reward_kind": "amount", "reward_value": 10}, **given)
        offer(app, "FIFTH", {"reward_value": 20}, **given)
        assert set(promote(app, basket((shirt, 1, 40)))) == {"TENOFF"}
        assert set(promote(app, basket((shirt, 1, 60)))) == {"FIFTH"}

    def test_an_exclusive_one_that_comes_first_is_alone(self, app: Connection, lines: str) -> None:
        offer(app, "ALONE", {"reward_value": 5}, stacking="exclusive", priority_no=1)
        offer(app, "OTHER", {"reward_value": 50}, priority_no=2)
        assert promote(app, lines) == {"ALONE": {"a": 5}}

    def test_an_exclusive_one_joins_no_other(self, app: Connection, lines: str) -> None:
        offer(app, "OTHER", {"reward_value": 5}, priority_no=1)
        offer(app, "ALONE", {"reward_value": 50}, stacking="exclusive", priority_no=2)
        offer(app, "LAST", {"reward_value": 10}, priority_no=3)
        assert promote(app, lines) == {"OTHER": {"a": 5}, "LAST": {"a": 9.5}}

    def test_one_that_gives_nothing_excludes_nothing(
        self, app: Connection, lines: str, tie: UUID
    ) -> None:
        alone = offer(app, "ALONE", {"reward_value": 50}, stacking="exclusive", priority_no=1)
        rule(app, alone, rule_role="target", rule_kind="item", product_variant_id=tie)
        offer(app, "OTHER", {"reward_value": 5}, priority_no=2)
        assert promote(app, lines) == {"OTHER": {"a": 5}}


class TestCoupons:
    """A code opens its promotion, for whom and as often as it says."""

    @pytest.fixture
    def code(self, app: Connection) -> UUID:
        """A code that anybody may use, TEN, for 10 % off."""
        made = offer(app, "TENPCT", {"reward_value": 10}, trigger_kind="coupon")
        return row(
            app,
            "ret.coupon",
            promotion_id=made,
            coupon_code="TEN",
            starts_at="2026-01-01",
            max_uses=2,
        )

    def refusal(self, connection: Connection, **given: Any) -> Any:
        return found(
            connection,
            "SELECT ret.coupon_refusal(%s, %s, %s, %s)",
            given.get("code", "ten"),
            given.get("customer"),
            given.get("used_before", 0),
            given.get("at", NOON),
        )

    @pytest.mark.usefixtures("code")
    @pytest.mark.parametrize(
        ("codes", "applies"),
        [
            ([], False),
            (["TEN"], True),
            ([" ten "], True),
            (["ELEVEN"], False),
            (["X", "TEN"], True),
        ],
    )
    def test_it_opens_its_promotion(
        self, app: Connection, shirt: UUID, codes: list[str], applies: bool
    ) -> None:
        assert bool(promote(app, basket((shirt, 1, 10)), codes=codes)) is applies

    def test_it_is_named_with_what_it_opened(
        self, app: Connection, shirt: UUID, code: UUID
    ) -> None:
        call = (
            "SELECT coupon_id FROM ret.promote_basket(%s::jsonb, NULL, codes => '{TEN}',"
            " moment => '2026-05-04')"
        )
        assert found(app, call, basket((shirt, 1, 10))) == code

    def test_it_opens_no_other(self, app: Connection, shirt: UUID, code: UUID) -> None:
        offer(app, "OTHER", {"reward_value": 10}, trigger_kind="coupon")
        assert set(promote(app, basket((shirt, 1, 10)), codes=["TEN"])) == {"TENPCT"}

    @pytest.mark.parametrize(
        ("of", "to", "asked", "why"),
        [
            ("coupon", {}, {}, ""),
            ("coupon", {}, {"code": "NONE"}, "unknown"),
            ("coupon", {"state": "revoked"}, {}, "revoked"),
            ("coupon", {"used_count": 2}, {}, "used up"),
            ("coupon", {"expires_at": "2026-05-04 17:00+00"}, {}, "expired"),
            ("coupon", {"expires_at": "2026-05-04 17:01+00"}, {}, ""),
            ("coupon", {"starts_at": "2026-05-04 17:01+00"}, {}, "not yet valid"),
            ("coupon", {"max_uses_per_customer": 1}, {"used_before": 1}, "used by this customer"),
            ("coupon", {"max_uses_per_customer": 2}, {"used_before": 1}, ""),
            ("promotion", {"state": "paused"}, {}, "no promotion now"),
            ("promotion", {"ends_at": "2026-05-04 17:00+00"}, {}, "no promotion now"),
            ("promotion", {"starts_at": "2026-05-04 17:01+00"}, {}, "no promotion now"),
            ("promotion", {"max_redemptions": 5, "redeemed_count": 5}, {}, "promotion used up"),
            ("promotion", {"budget_amount": 5, "budget_used": 5}, {}, "promotion used up"),
        ],
    )
    def test_why_it_opens_nothing(
        self,
        app: Connection,
        code: UUID,
        of: str,
        to: dict[str, Any],
        asked: dict[str, Any],
        why: str,
    ) -> None:
        promotion = found(app, "SELECT promotion_id FROM ret.coupon")
        if to:
            change(app, of, code if of == "coupon" else promotion, **to)
        assert self.refusal(app, **asked) == why

    def test_a_personal_one_is_for_its_owner(self, app: Connection, code: UUID) -> None:
        owner, other = row(app, "ret.customer"), row(app, "ret.customer")
        change(app, "coupon", code, coupon_kind="personal", customer_id=owner)
        whys = [self.refusal(app, customer=c) for c in (owner, other, None)]
        assert whys == ["", "of another customer", "of another customer"]

    def test_it_is_kept_in_capitals(self, app: Connection) -> None:
        row(app, "ret.coupon", coupon_code="summer")
        assert found(app, "SELECT coupon_code FROM ret.coupon") == "SUMMER"
        with pytest.raises(errors.UniqueViolation):
            row(app, "ret.coupon", coupon_code="Summer")

    def test_the_state_follows_the_count(self, app: Connection, code: UUID) -> None:
        states = []
        for to in ({"used_count": 1}, {"used_count": 2}, {"max_uses": 3}):
            change(app, "coupon", code, **to)
            states.append(found(app, "SELECT state FROM ret.coupon"))
        assert states == ["active", "exhausted", "active"]

    def test_the_count_only_rises(self, app: Connection, code: UUID) -> None:
        change(app, "coupon", code, used_count=1)
        with pytest.raises(errors.CheckViolation, match="that is not taken back"):
            change(app, "coupon", code, used_count=0)

    def test_the_count_never_passes_the_limit(self, app: Connection, code: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="used_at_most_allowed"):
            change(app, "coupon", code, used_count=3)

    @pytest.mark.parametrize("state", ["expired", "revoked"])
    def test_what_is_over_is_not_used(self, app: Connection, code: UUID, state: str) -> None:
        change(app, "coupon", code, state=state)
        with pytest.raises(errors.CheckViolation, match=f"is {state}, it is not used any more"):
            change(app, "coupon", code, used_count=1)

    @pytest.mark.parametrize("before", COUPON)
    @pytest.mark.parametrize("after", COUPON)
    def test_states(self, app: Connection, before: str, after: str) -> None:
        used = 1 if before == "exhausted" else 0
        made = imported(app, "ret.coupon", state=before, max_uses=1, used_count=used)
        to: dict[str, Any] = {"state": after}
        if after == "exhausted" and before in ("issued", "active"):
            to["used_count"] = 1
        if (before, after) == ("exhausted", "active"):
            to["max_uses"] = 2
        if after in COUPON[before] | {before}:
            change(app, "coupon", made, **to)
            assert found(app, "SELECT state FROM ret.coupon") == after
        elif before == "exhausted" and after == "issued":
            # The state follows the count.
            change(app, "coupon", made, **to)
            assert found(app, "SELECT state FROM ret.coupon") == "exhausted"
        else:
            with pytest.raises(errors.CheckViolation, match=r"cannot become|exhausted_when"):
                change(app, "coupon", made, **to)


class TestRedeeming:
    """What an order used is counted, and never beyond the end."""

    def redeem(self, connection: Connection, promotion: UUID, amount: float, **given: Any) -> None:
        connection.execute(
            "SELECT ret.redeem_promotion(%s, %s::numeric, %s, %s, %s, %s)",
            [
                promotion,
                amount,
                given.get("coupon"),
                given.get("customer"),
                given.get("used_before", 0),
                given.get("at", NOON),
            ],
        )

    def used(self, connection: Connection) -> Any:
        return found(connection, "SELECT redeemed_count, budget_used FROM ret.promotion")

    def test_it_counts(self, app: Connection) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        self.redeem(app, made, 4.5)
        self.redeem(app, made, 0.5)
        assert self.used(app) == (2, Decimal("5.00"))

    def test_it_counts_the_code(self, app: Connection) -> None:
        made = offer(app, "OFF", {"reward_value": 10}, trigger_kind="coupon")
        code = row(app, "ret.coupon", promotion_id=made, max_uses=1, starts_at="2026-01-01")
        self.redeem(app, made, 4.5, coupon=code)
        assert found(app, "SELECT used_count, state FROM ret.coupon") == (1, "exhausted")
        with pytest.raises(errors.CheckViolation, match="used up"):
            self.redeem(app, made, 4.5, coupon=code)

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"trigger_kind": "coupon"}, "it needs a coupon"),
            ({"starts_at": "2026-05-05"}, "it is not on now"),
            ({"ends_at": "2026-05-04"}, "it is not on now"),
            ({"max_redemptions": 2, "redeemed_count": 2}, "it is used up"),
            ({"budget_amount": 9, "budget_used": 5}, r"only 4\.00 of its budget is left"),
        ],
    )
    def test_why_it_is_refused(self, app: Connection, given: dict[str, Any], why: str) -> None:
        made = offer(app, "OFF", {"reward_value": 10}, **given)
        with pytest.raises(errors.CheckViolation, match=f"OFF cannot be redeemed: {why}"):
            self.redeem(app, made, 5)

    def test_it_is_refused_when_paused(self, app: Connection) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        change(app, "promotion", made, state="paused")
        with pytest.raises(errors.CheckViolation, match="it is paused"):
            self.redeem(app, made, 5)

    def test_a_customer_uses_a_code_so_often(self, app: Connection) -> None:
        made = offer(app, "OFF", {"reward_value": 10}, trigger_kind="coupon")
        given = {"max_uses_per_customer": 1, "starts_at": "2026-01-01"}
        code = row(app, "ret.coupon", promotion_id=made, **given)
        with pytest.raises(errors.CheckViolation, match="used by this customer"):
            self.redeem(app, made, 5, coupon=code, used_before=1)

    def test_a_code_of_another_promotion(self, app: Connection) -> None:
        made = offer(app, "OFF", {"reward_value": 10})
        with pytest.raises(errors.NoDataFound, match="has no such coupon"):
            self.redeem(app, made, 5, coupon=row(app, "ret.coupon"))

    def test_there_must_be_a_promotion(self, app: Connection, shirt: UUID) -> None:
        with pytest.raises(errors.NoDataFound, match="no such promotion"):
            self.redeem(app, shirt, 5)

    def test_it_gives_and_does_not_take(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="gives something"):
            self.redeem(app, offer(app, "OFF", {"reward_value": 10}), -5)

    def test_what_a_cancelled_order_used_is_free_again(self, app: Connection) -> None:
        made = offer(app, "OFF", {"reward_value": 10}, max_redemptions=1, budget_amount=5)
        self.redeem(app, made, 5)
        app.execute("SELECT ret.release_promotion(%s, 5)", [made])
        assert self.used(app) == (0, 0)
        self.redeem(app, made, 5)

    def test_time_starts_and_ends_promotions_and_codes(self, app: Connection) -> None:
        june = {"starts_at": "2026-06-01", "ends_at": "2026-07-01"}
        made = row(app, "ret.promotion", state="scheduled", **june)
        row(
            app,
            "ret.coupon",
            promotion_id=made,
            starts_at="2026-06-01",
            expires_at="2026-06-15",
        )
        advance = "SELECT ret.advance_promotions(%s)"
        moments = ["2026-05-31", "2026-06-01", "2026-06-15", "2026-07-01", "2026-07-02"]
        assert [found(app, advance, m) for m in moments] == [0, 1, 1, 1, 0]
        states = (
            "SELECT p.state, c.state FROM ret.promotion AS p"
            " JOIN ret.coupon AS c USING (promotion_id)"
        )
        assert found(app, states) == ("ended", "expired")

    @pytest.mark.parametrize(
        ("limits", "code_uses", "served"),
        [
            ({"max_redemptions": 3}, None, 3),
            ({"budget_amount": 25}, None, 2),
            ({}, 1, 1),
            ({"max_redemptions": 5}, 2, 2),
        ],
    )
    def test_of_many_orders_at_once_only_so_many_are_served(
        self,
        deployed: Target,
        copy_of: Callable[[Target], Target],
        limits: dict[str, Any],
        code_uses: int | None,
        served: int,
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            made = offer(connection, "OFF", {"reward_value": 10}, **limits)
            code = None
            if code_uses:
                given = {"max_uses": code_uses, "starts_at": "2026-01-01"}
                code = row(connection, "ret.coupon", promotion_id=made, **given)

        def order(_: int) -> bool:
            try:
                with psycopg.connect(target.app) as connection:
                    become_app(connection, tenant)
                    self.redeem(connection, made, 10, coupon=code)
            except errors.CheckViolation:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(order, range(8))) == served
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            assert self.used(connection) == (served, 10 * served)
