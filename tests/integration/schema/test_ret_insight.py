"""What follows from the days: forecasts, customers, losses, baskets, plans and visits."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_ret_analytics import (
    NOON,
    Shop,
    one,
    open_shop,
    sale,
    shop,
    summarize,
    take_back,
)
from tests.integration.schema.test_ret_inventory import move

__all__ = ["shop"]

CASE = {
    "open": {"investigating", "closed"},
    "investigating": {"closed"},
    "closed": {"investigating"},
}
CASE_PATHS: dict[str, tuple[str, ...]] = {
    "open": (),
    "investigating": ("investigating",),
    "closed": ("closed",),
}
PLAN: dict[str, set[str]] = {
    "draft": {"approved"},
    "approved": {"draft", "locked"},
    "locked": set(),
}
PLAN_PATHS: dict[str, tuple[str, ...]] = {
    "draft": (),
    "approved": ("approved",),
    "locked": ("approved", "locked"),
}
FRIDAY = "2026-05-01 12:00+00"


def rows(connection: Connection, query: str, *given: Any) -> list[Any]:
    return connection.execute(query.encode(), given).fetchall()


def day(connection: Connection, shop: Shop, on: str, **given: Any) -> UUID:
    return row(
        connection,
        "ret.variant_sales_day",
        location_id=shop.store,
        product_variant_id=shop.variant,
        business_date=on,
        **given,
    )


def place_under(connection: Connection, top: UUID, category: UUID) -> None:
    connection.execute(
        "UPDATE ret.category SET level_kind = 'class', parent_category_id = %s"
        " WHERE category_id = %s",
        [top, category],
    )


class TestForecasts:
    @pytest.fixture
    def history(self, app: Connection, shop: Shop) -> Shop:
        """16 pieces in the last four weeks, 8 in the four before."""
        day(app, shop, "2026-04-20", units_sold=16)
        day(app, shop, "2026-03-20", units_sold=8)
        return shop

    def forecast(
        self, connection: Connection, shop: Shop, at: str = FRIDAY, weeks: int = 1
    ) -> list[Any]:
        one(connection, "SELECT ret.forecast_demand(%s, %s, %s)", shop.store, at, weeks)
        return rows(
            connection,
            "SELECT week_start::text, baseline_qty, promo_uplift_qty, forecast_qty"
            " FROM ret.demand_forecast ORDER BY week_start",
        )

    def test_the_newer_half_weighs_double(self, app: Connection, history: Shop) -> None:
        base = Decimal("3.3333")
        assert self.forecast(app, history) == [("2026-05-04", base, 0, base)]

    @pytest.mark.parametrize(
        ("at", "monday"),
        [
            ("2026-05-04 12:00+00", "2026-05-04"),
            ("2026-05-05 04:00+00", "2026-05-04"),
            ("2026-05-05 06:00+00", "2026-05-11"),
        ],
    )
    def test_weeks_start_with_the_next_monday_of_the_place(
        self, app: Connection, history: Shop, at: str, monday: str
    ) -> None:
        assert self.forecast(app, history, at)[0][0] == monday

    def test_many_weeks_are_forecast(self, app: Connection, history: Shop) -> None:
        found = [week for week, *_ in self.forecast(app, history, weeks=3)]
        assert found == ["2026-05-04", "2026-05-11", "2026-05-18"]

    def test_what_stockouts_hid_is_demand(self, app: Connection, history: Shop) -> None:
        day(app, history, "2026-04-21", hours_out_of_stock=24, lost_units_estimate=6)
        assert self.forecast(app, history)[0][1] == Decimal("4.3333")

    def test_the_day_of_the_run_is_not_known_yet(self, app: Connection, history: Shop) -> None:
        day(app, history, "2026-05-01", units_sold=100)
        assert self.forecast(app, history)[0][1] == Decimal("3.3333")

    def test_what_sold_nothing_in_eight_weeks_has_none(self, app: Connection, shop: Shop) -> None:
        day(app, shop, "2026-03-05", units_sold=8)
        assert self.forecast(app, shop) == []

    def test_what_is_no_longer_carried_has_none(self, app: Connection, history: Shop) -> None:
        app.execute("UPDATE ret.product_variant SET status = 'discontinued'")
        assert self.forecast(app, history) == []

    def promote(self, connection: Connection, **named: Any) -> UUID:
        promotion = imported(
            connection,
            "ret.promotion",
            promotion_code="MAY",
            state="active",
            starts_at="2026-05-12 00:00+00",
            ends_at="2026-05-20 00:00+00",
        )
        kind = next(iter(named)).removesuffix("_id").removeprefix("product_")
        imported(
            connection,
            "ret.promotion_rule",
            promotion_id=promotion,
            rule_role="target",
            rule_kind="item" if kind in ("variant", "product") else kind,
            compare="eq",
            **named,
        )
        return promotion

    @pytest.mark.parametrize("named", ["variant", "product", "brand", "category", "department"])
    def test_weeks_with_an_offer_get_what_offers_bring(
        self, app: Connection, history: Shop, named: str
    ) -> None:
        product, category = one(app, "SELECT product_id, main_category_id FROM ret.product")
        top = row(app, "ret.category", display_name="All")
        brand = row(app, "ret.brand")
        place_under(app, top, category)
        app.execute("UPDATE ret.product SET brand_id = %s", [brand])
        self.promote(
            app,
            **{
                "variant": {"product_variant_id": history.variant},
                "product": {"product_id": product},
                "brand": {"brand_id": brand},
                "category": {"category_id": category},
                "department": {"category_id": top},
            }[named],
        )
        found = [uplift for _, _, uplift, _ in self.forecast(app, history, weeks=4)]
        # Half as much again, as nothing was learned yet.
        assert found == [0, Decimal("1.6667"), Decimal("1.6667"), 0]

    def test_an_offer_on_something_else_lifts_nothing(self, app: Connection, history: Shop) -> None:
        self.promote(app, product_variant_id=row(app, "ret.product_variant"))
        assert [u for _, _, u, _ in self.forecast(app, history, weeks=3)] == [0, 0, 0]

    @pytest.mark.parametrize(("promoted", "lift"), [(32, 2), (1000, 4), (3, Decimal("1.2"))])
    def test_a_place_learns_what_its_offers_bring(
        self, app: Connection, history: Shop, promoted: int, lift: Decimal
    ) -> None:
        app.execute("UPDATE ret.variant_sales_day SET units_sold = 16")
        day(app, history, "2026-04-22", units_sold=promoted, promo_units=1)
        self.promote(app, product_variant_id=history.variant)
        _, base, uplift, _ = self.forecast(app, history, weeks=2)[1]
        assert uplift == round(base * (lift - 1), 4)

    def test_the_drivers_add_up_to_the_forecast(self, app: Connection, history: Shop) -> None:
        day(app, history, "2026-04-21", hours_out_of_stock=24, lost_units_estimate=6)
        self.promote(app, product_variant_id=history.variant)
        self.forecast(app, history, weeks=2)
        found = rows(
            app,
            "SELECT driver, effect_qty, forecasts FROM ret.v_forecast_driver ORDER BY driver",
        )
        assert [driver for driver, *_ in found] == ["level", "lost_sales", "promotion", "trend"]
        assert sum(effect for _, effect, _ in found) == one(
            app, "SELECT sum(forecast_qty) FROM ret.demand_forecast"
        )

    def test_a_run_is_made_once(self, app: Connection, history: Shop) -> None:
        assert self.forecast(app, history) == self.forecast(app, history)

    def test_an_unknown_place_is_refused(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            one(app, "SELECT ret.forecast_demand(gen_random_uuid())")

    def test_what_was_asked_for_is_written_beside_it(self, app: Connection, shop: Shop) -> None:
        of = {"location_id": shop.store, "product_variant_id": shop.variant, "model_name": "m"}
        for week in ("2026-04-27", "2026-05-04", "2026-05-11"):
            row(app, "ret.demand_forecast", week_start=week, **of)
        day(app, shop, "2026-05-04", units_sold=7)
        day(app, shop, "2026-05-10", hours_out_of_stock=24, lost_units_estimate=1)
        day(app, shop, "2026-05-11", units_sold=99)
        record = "SELECT ret.record_demand('2026-04-27', '2026-05-11')"
        assert one(app, record) == 2
        assert one(app, record) == 0
        found = rows(
            app,
            "SELECT actual_qty, abs_pct_error, bias_pct FROM ret.demand_forecast"
            " ORDER BY week_start",
        )
        assert found == [(0, None, None), (8, 25, 25), (None, None, None)]
        accuracy = "SELECT weeks, wape, bias_pct, in_band_pct FROM ret.forecast_accuracy(%s, %s)"
        assert one(app, accuracy, "2026-04-01", "2026-06-01") == (2, 150, 150, 50)


class TestCustomers:
    def buy(self, connection: Connection, shop: Shop, at: str, price: float, **given: Any) -> UUID:
        return sale(connection, shop, {"unit_price": price}, at=at, **given)

    def rank(self, connection: Connection) -> list[Any]:
        one(connection, "SELECT ret.compute_rfm('2026-05-10')")
        return rows(
            connection,
            "SELECT recency_days, frequency_count, monetary_total, r_score, f_score, m_score,"
            " rfm_segment FROM ret.rfm_snapshot ORDER BY monetary_total",
        )

    def test_customers_are_ranked_in_fifths(self, app: Connection, shop: Shop) -> None:
        for n in range(1, 6):
            who = row(app, "ret.customer")
            self.buy(app, shop, f"2026-05-0{n} 17:00+00", 10 * n, customer_id=who)
        found = self.rank(app)
        assert [(recency, money, r, f, m) for recency, _, money, r, f, m, _ in found] == [
            (10 - n, 10 * n, n, 1, n) for n in range(1, 6)
        ]
        segments = ["lost", "hibernating", "promising", "new", "new"]
        assert [segment for *_, segment in found] == segments

    def test_whoever_is_equal_has_the_same_score(self, app: Connection, shop: Shop) -> None:
        for _ in range(4):
            self.buy(app, shop, NOON, 10, customer_id=row(app, "ret.customer"))
        assert len(set(self.rank(app))) == 1

    @pytest.mark.parametrize(
        ("orders", "price", "on", "segment"),
        [
            (9, 50, "2026-05-0", "champion"),
            (9, 50, "2026-02-0", "cannot_lose"),
            (9, 1, "2026-02-0", "at_risk"),
            (2, 1, "2026-05-0", "potential"),
        ],
    )
    def test_a_customer_is_named_by_his_scores(
        self, app: Connection, shop: Shop, orders: int, price: float, on: str, segment: str
    ) -> None:
        for n in range(10):
            who = row(app, "ret.customer")
            for _ in range(1 + n // 3):
                self.buy(app, shop, f"2026-0{3 + n % 2}-1{n} 17:00+00", 10, customer_id=who)
        one_of = row(app, "ret.customer")
        for n in range(1, orders + 1):
            self.buy(app, shop, f"{on}{n} 17:00+00", price, customer_id=one_of)
        self.rank(app)
        named = "SELECT rfm_segment FROM ret.rfm_snapshot WHERE customer_id = %s"
        assert one(app, named, one_of) == segment

    def test_what_came_back_is_not_spent(self, app: Connection, shop: Shop) -> None:
        order = sale(
            app,
            shop,
            {"quantity": 3, "fulfilled_qty": 3},
            customer_id=row(app, "ret.customer"),
        )
        take_back(app, shop, order)
        assert [money for _, _, money, *_ in self.rank(app)] == [20]

    def test_who_left_or_bought_without_a_name_is_not_ranked(
        self, app: Connection, shop: Shop
    ) -> None:
        self.buy(app, shop, NOON, 10)
        self.buy(app, shop, "2025-05-10 17:00+00", 10, customer_id=row(app, "ret.customer"))
        blocked = row(app, "ret.customer")
        self.buy(app, shop, NOON, 10, customer_id=blocked)
        app.execute("UPDATE ret.customer SET status = 'blocked' WHERE customer_id = %s", [blocked])
        assert self.rank(app) == []

    def test_who_stays_away_longer_than_usual_leaves(self, app: Connection, shop: Shop) -> None:
        for first, last in (("2026-03-01", "2026-03-31"), ("2026-04-08", "2026-05-08")):
            who = row(app, "ret.customer")
            for at in (first, last):
                self.buy(app, shop, f"{at} 17:00+00", 10, customer_id=who)
        self.rank(app)
        (away, soon, little), (there, later, much) = rows(
            app,
            "SELECT churn_probability, next_purchase_on::text, predicted_ltv"
            " FROM ret.rfm_snapshot ORDER BY recency_days DESC",
        )
        # Both came every thirty days; one is ten days late, the other was there the day before.
        assert away > there
        assert little < much
        assert (soon, later) == ("2026-05-10", "2026-06-07")

    def test_the_category_he_spends_most_on_is_preferred(self, app: Connection, shop: Shop) -> None:
        liked = row(app, "ret.category", category_code="SHOES")
        shoe = row(
            app,
            "ret.product_variant",
            product_id=row(app, "ret.product", main_category_id=liked),
        )
        sale(
            app,
            shop,
            {"quantity": 2},
            {"unit_price": 21, "product_variant_id": shoe},
            customer_id=row(app, "ret.customer"),
        )
        self.rank(app)
        assert one(app, "SELECT preferred_category_code FROM ret.rfm_snapshot") == "SHOES"

    def test_ranking_a_day_again_changes_nothing(self, app: Connection, shop: Shop) -> None:
        self.buy(app, shop, NOON, 10, customer_id=row(app, "ret.customer"))
        whole = "SELECT md5(string_agg(s::text, '')) FROM ret.rfm_snapshot AS s"
        self.rank(app)
        before = one(app, whole)
        self.rank(app)
        assert one(app, whole) == before


def count(connection: Connection, shop: Shop, *causes: str, **given: Any) -> UUID:
    """A posted count that misses two pieces, worth 8, of a new article for each cause."""
    counted = imported(
        connection,
        "ret.cycle_count",
        location_id=shop.store,
        state="completed",
        requested_at="2026-05-01",
        started_at="2026-05-02",
        freeze_at="2026-05-02",
        completed_at="2026-05-04",
        **given,
    )
    for cause in causes:
        imported(
            connection,
            "ret.cycle_count_line",
            cycle_count_id=counted,
            state="adjusted",
            expected_qty=5,
            counted_qty=3,
            final_qty=3,
            counted_at="2026-05-02",
            variance_value=-8,
            root_cause=cause,
        )
    return counted


FIND = "SELECT ret.open_shrink_cases('2026-05-01', '2026-06-01')"
CASES = (
    "SELECT cause, detected_by, units_lost, cost_value, retail_value FROM ret.shrink_event"
    " ORDER BY cause"
)


class TestShrink:
    def test_a_count_is_a_case_for_each_cause(self, app: Connection, shop: Shop) -> None:
        count(app, shop, "theft", "theft", "damage", "misplaced", "none")
        assert one(app, FIND) == 4
        assert rows(app, CASES) == [
            ("administrative", "count", 2, 8, 20),
            ("damage", "count", 2, 8, 20),
            ("external_theft", "count", 4, 16, 40),
            ("unknown", "count", 2, 8, 20),
        ]
        alone = "SELECT count(product_variant_id) FROM ret.shrink_event WHERE cause = %s"
        assert one(app, alone, "external_theft") == 0
        assert one(app, alone, "damage") == 1

    @pytest.mark.parametrize(
        ("reason", "cause", "seen"),
        [
            ("theft_known", "external_theft", "cctv"),
            ("theft_unknown", "unknown", "audit"),
            ("damage", "damage", "audit"),
            ("donation", None, None),
            ("own_use", None, None),
            ("found", None, None),
        ],
    )
    def test_what_was_written_off_for_a_loss_is_a_case(
        self, app: Connection, shop: Shop, reason: str, cause: str | None, seen: str | None
    ) -> None:
        adjusted = imported(
            app,
            "ret.stock_adjustment",
            location_id=shop.store,
            reason=reason,
            state="posted",
            approved_at="2026-05-05",
            approved_by_user_id=row(app, "user_mgmt.user_account"),
            police_report_ref="CPD-1",
        )
        imported(
            app,
            "ret.stock_adjustment_line",
            stock_adjustment_id=adjusted,
            product_variant_id=shop.variant,
            quantity_delta=-3,
            unit_cost=4,
        )
        one(app, FIND)
        assert rows(app, CASES) == ([(cause, seen, 3, 12, 30)] if cause else [])
        if cause:
            assert one(app, "SELECT police_reference FROM ret.shrink_event") == "CPD-1"

    @pytest.mark.parametrize(("short", "cases"), [(5, 1), (Decimal("4.99"), 0), (-20, 0)])
    def test_a_drawer_that_is_far_short_is_looked_into(
        self, app: Connection, shop: Shop, short: Decimal, cases: int
    ) -> None:
        imported(
            app,
            "ret.register_session",
            register_id=row(app, "ret.register", location_id=shop.store),
            state="closed",
            opened_at="2026-05-04 08:00+00",
            closed_at="2026-05-04 20:00+00",
            closed_by_user_id=row(app, "user_mgmt.user_account"),
            opening_float=100,
            counted_cash=100 - short,
        )
        assert one(app, FIND) == cases
        expected = [("unknown", "exception_report", 0, 5, 5)]
        assert rows(app, CASES) == expected[:cases]

    def test_a_document_is_a_case_once_whatever_became_of_it(
        self, app: Connection, shop: Shop
    ) -> None:
        count(app, shop, "none")
        assert one(app, FIND) == 1
        app.execute("UPDATE ret.shrink_event SET cause = 'administrative'")
        assert one(app, FIND) == 0

    def test_a_case_is_numbered(self, app: Connection, shop: Shop) -> None:
        count(app, shop, "theft", "damage")
        one(app, FIND)
        numbers = rows(app, "SELECT case_number FROM ret.shrink_event ORDER BY case_number")
        assert len(set(numbers)) == 2
        assert all(number.startswith("SH-") for (number,) in numbers)

    @pytest.mark.parametrize("before", CASE)
    def test_a_case_takes_its_allowed_ways(self, app: Connection, before: str) -> None:
        row(app, "ret.shrink_event")
        change = "UPDATE ret.shrink_event SET state = %s"
        for step in CASE_PATHS[before]:
            app.execute(change.encode(), [step])
        for after in CASE[before]:
            with app.transaction(force_rollback=True):
                app.execute(change.encode(), [after])
        for one_of, after in refused(CASE):
            if one_of == before:
                with pytest.raises(errors.CheckViolation), app.transaction():
                    app.execute(change.encode(), [after])

    @pytest.mark.parametrize("state", ["investigating", "closed"])
    def test_a_case_starts_open(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start"):
            row(app, "ret.shrink_event", state=state)

    @pytest.mark.parametrize(
        "change", ["cause = 'administrative'", "units_lost = 3", "cost_value = 9"]
    )
    def test_what_a_closed_case_lost_stands(self, app: Connection, shop: Shop, change: str) -> None:
        row(
            app,
            "ret.shrink_event",
            location_id=shop.store,
            cycle_count_id=count(app, shop, "none"),
        )
        app.execute("UPDATE ret.shrink_event SET state = 'closed'")
        with pytest.raises(errors.CheckViolation, match="what it lost stands"), app.transaction():
            app.execute(f"UPDATE ret.shrink_event SET {change}".encode())
        app.execute("UPDATE ret.shrink_event SET recovered_value = 5")
        app.execute("UPDATE ret.shrink_event SET state = 'investigating'")
        app.execute(f"UPDATE ret.shrink_event SET {change}".encode())

    def test_nobody_is_accused_without_evidence(self, app: Connection, shop: Shop) -> None:
        row(
            app,
            "ret.shrink_event",
            location_id=shop.store,
            cycle_count_id=count(app, shop, "none"),
            cause="internal_theft",
        )
        close = "UPDATE ret.shrink_event SET state = 'closed', evidence_doc = %s"
        with pytest.raises(errors.CheckViolation, match="with_evidence"), app.transaction():
            app.execute(close.encode(), ["[]"])
        app.execute(close.encode(), ['[{"kind": "cctv", "reference": "cam 4"}]'])

    @pytest.mark.parametrize("document", ["cycle_count", "stock_adjustment", "register_session"])
    def test_a_case_is_of_the_place_that_lost_it(
        self, app: Connection, shop: Shop, document: str
    ) -> None:
        elsewhere = {f"{document}_id": row(app, f"ret.{document}"), "cost_value": 5}
        with pytest.raises(errors.CheckViolation, match="another location"):
            row(app, "ret.shrink_event", location_id=shop.store, units_lost=0, **elsewhere)

    def test_a_drawer_loses_money_and_no_units(self, app: Connection) -> None:
        session = row(app, "ret.register_session")
        place = one(app, "SELECT location_id FROM ret.register")
        with pytest.raises(errors.CheckViolation, match="cash_is_not_goods"):
            row(app, "ret.shrink_event", location_id=place, register_session_id=session)

    @pytest.mark.parametrize(("target", "is_over"), [(10, True), (25, False), (None, None)])
    def test_shrink_is_set_against_sales(
        self, app: Connection, shop: Shop, target: int | None, is_over: bool | None
    ) -> None:
        app.execute("UPDATE ret.category SET shrink_target_pct = %s", [target])
        to = (shop.store, shop.variant)
        move(app, *to, "receipt", "none", "available", 20, occurred_at=NOON)
        lost: dict[str, Any] = {"occurred_at": NOON, "source_kind": "count", "unit_cost": 4}
        move(app, *to, "count", "available", "none", 3, **lost)
        move(app, *to, "count", "none", "available", 1, **lost)
        sale(app, shop, {"quantity": 10})
        summarize(app)
        found = one(
            app,
            "SELECT net_sales, shrink_cost, shrink_retail, shrink_pct, is_over"
            " FROM ret.shrink_by_category('2026-05-01', '2026-06-01')",
        )
        assert found == (100, 8, 20, 20, is_over)

    def test_those_who_look_for_losses_at_once_open_one_case(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            count(connection, open_shop(connection), "theft")
        got = at_once(target, tenant, 4, lambda c, _: one(c, FIND))
        assert sorted(got) == [0, 0, 0, 1]


class TestBaskets:
    @pytest.fixture
    def baskets(self, app: Connection, shop: Shop) -> dict[UUID, UUID]:
        """Ten baskets: tea in four, cups in five, both in three; one of them from the web."""
        tea, cup, rest = (row(app, "ret.product_variant") for _ in range(3))
        web = row(app, "ret.sales_channel", channel_kind="web")
        for n in range(10):
            held = [] if n < 3 else [rest]
            if n < 4:
                held.append(tea)
            if n < 3 or n in (5, 6):
                held.append(cup)
            given: dict[str, Any] = {}
            if n == 0:
                given = {"sales_channel_id": web, "order_kind": "web"}
            sale(app, shop, *({"product_variant_id": v} for v in held), **given)
        products = rows(app, "SELECT product_variant_id, product_id FROM ret.product_variant")
        kept = dict(products)
        return {tea: kept[tea], cup: kept[cup]}

    def pairs(self, connection: Connection, least: int = 3) -> list[Any]:
        one(connection, "SELECT ret.compute_affinity('2026-05-01', '2026-06-01', %s)", least)
        return rows(
            connection,
            "SELECT basket_count, pair_count, support, confidence, lift FROM ret.basket_affinity"
            " WHERE pair_count >= 3 ORDER BY sales_channel_id NULLS FIRST",
        )

    def test_what_is_bought_together_is_found(
        self, app: Connection, baskets: dict[UUID, UUID]
    ) -> None:
        everywhere = (10, 3, Decimal("0.3"), Decimal("0.75"), Decimal("1.5"))
        assert self.pairs(app) == [everywhere]
        found = one(app, "SELECT left_product_id, right_product_id FROM ret.basket_affinity")
        assert found == tuple(sorted(baskets.values()))

    def test_a_channel_has_pairs_of_its_own(
        self, app: Connection, baskets: dict[UUID, UUID]
    ) -> None:
        self.pairs(app, 1)
        found = one(
            app,
            "SELECT basket_count, pair_count FROM ret.basket_affinity AS a"
            " JOIN ret.sales_channel AS c USING (business_id, sales_channel_id)"
            " WHERE c.channel_kind = 'web'",
        )
        assert found == (1, 1)

    def test_few_pairs_say_nothing(self, app: Connection, baskets: dict[UUID, UUID]) -> None:
        assert self.pairs(app, 4) == []

    def test_a_window_is_computed_anew(self, app: Connection, baskets: dict[UUID, UUID]) -> None:
        assert self.pairs(app) == self.pairs(app)

    def test_pairs_become_cross_sells_both_ways(
        self, app: Connection, baskets: dict[UUID, UUID]
    ) -> None:
        tea, cup = baskets.values()
        chosen = row(
            app,
            "ret.product_relation",
            from_product_id=tea,
            to_product_id=cup,
            relation_kind="cross_sell",
            source="manual",
        )
        stale = row(
            app,
            "ret.product_relation",
            from_product_id=cup,
            relation_kind="cross_sell",
            source="basket_affinity",
            score=1,
        )
        self.pairs(app)
        assert one(app, "SELECT ret.relate_products('2026-06-01')") == 1
        found = rows(
            app,
            "SELECT product_relation_id, from_product_id, source, score, is_active"
            " FROM ret.product_relation",
        )
        by_key = {key: tuple(rest) for key, *rest in found}
        assert by_key.pop(chosen) == (tea, "manual", None, True)
        assert by_key.pop(stale) == (cup, "basket_affinity", 1, False)
        assert list(by_key.values()) == [(cup, "basket_affinity", Decimal("0.75"), True)]

    def test_a_weak_pair_is_no_cross_sell(self, app: Connection, baskets: dict[UUID, UUID]) -> None:
        self.pairs(app)
        assert one(app, "SELECT ret.relate_products('2026-06-01', 1.6)") == 0


class TestPlans:
    def test_open_to_buy_is_what_is_needed_less_what_is_ordered(self, app: Connection) -> None:
        row(
            app,
            "ret.merchandise_plan",
            on_order_receipts=900,
            actual_sales=800,
            actual_receipts=1000,
        )
        found = one(
            app,
            "SELECT planned_receipts, open_to_buy, sell_through_pct, weeks_of_supply"
            " FROM ret.merchandise_plan",
        )
        assert found == (1300, 400, 20, Decimal("13.8667"))

    @pytest.mark.parametrize(("before", "after"), list(permutations(PLAN, 2)))
    def test_a_plan_takes_its_allowed_ways(self, app: Connection, before: str, after: str) -> None:
        row(app, "ret.merchandise_plan", planner_user_id=row(app, "user_mgmt.user_account"))
        change = "UPDATE ret.merchandise_plan SET state = %s"
        for step in PLAN_PATHS[before]:
            app.execute(change.encode(), [step])
        if after in PLAN[before]:
            app.execute(change.encode(), [after])
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before}.*{after}"):
                app.execute(change.encode(), [after])

    def test_somebody_stands_for_what_is_approved(self, app: Connection) -> None:
        row(app, "ret.merchandise_plan")
        with pytest.raises(errors.CheckViolation, match="approved_has_planner"):
            app.execute("UPDATE ret.merchandise_plan SET state = 'approved'")

    @pytest.mark.parametrize("is_of_a_place", [True, False])
    def test_one_plan_of_a_month_is_in_force(self, app: Connection, is_of_a_place: bool) -> None:
        of = {
            "category_id": row(app, "ret.category"),
            "location_id": row(app, "ret.location") if is_of_a_place else None,
            "planner_user_id": row(app, "user_mgmt.user_account"),
        }
        for version in (1, 2):
            row(app, "ret.merchandise_plan", version_no=version, **of)
        approve = "UPDATE ret.merchandise_plan SET state = %s WHERE version_no = %s"
        app.execute(approve.encode(), ["approved", 1])
        with pytest.raises(errors.UniqueViolation), app.transaction():
            app.execute(approve.encode(), ["approved", 2])
        app.execute(approve.encode(), ["draft", 1])
        app.execute(approve.encode(), ["approved", 2])
        with pytest.raises(errors.UniqueViolation):
            row(app, "ret.merchandise_plan", version_no=2, **of)

    @pytest.mark.parametrize(
        "figure", ["planned_sales", "planned_markdown", "opening_stock_plan", "version_no"]
    )
    def test_what_was_approved_stands(self, app: Connection, figure: str) -> None:
        row(app, "ret.merchandise_plan", planner_user_id=row(app, "user_mgmt.user_account"))
        change = sql.SQL("UPDATE ret.merchandise_plan SET {f} = {f} + 1").format(
            f=sql.Identifier(figure)
        )
        app.execute(change)
        app.execute("UPDATE ret.merchandise_plan SET state = 'approved'")
        app.execute("UPDATE ret.merchandise_plan SET on_order_receipts = 5, actual_sales = 5")
        with pytest.raises(errors.CheckViolation, match="its figures stand"):
            app.execute(change)

    @pytest.fixture
    def traded(self, app: Connection, shop: Shop) -> tuple[Shop, UUID]:
        """May: 12 ordered of which 2 were called off, 6 received, 30 sold; a category above."""
        top = row(app, "ret.category", display_name="All")
        place_under(app, top, one(app, "SELECT main_category_id FROM ret.product"))
        order = imported(
            app,
            "ret.purchase_order",
            location_id=shop.store,
            state="sent",
            ordered_at="2026-04-01",
            approved_by_user_id=row(app, "user_mgmt.user_account"),
            ship_window_end="2026-05-20",
        )
        imported(
            app,
            "ret.purchase_order_line",
            purchase_order_id=order,
            supplier_product_id=row(app, "ret.supplier_product", product_variant_id=shop.variant),
            ordered_qty=12,
            cancelled_qty=2,
        )
        receipt = imported(
            app,
            "ret.goods_receipt",
            location_id=shop.store,
            state="completed",
            arrived_at="2026-05-06",
            started_at="2026-05-06",
            completed_at="2026-05-07",
        )
        imported(
            app,
            "ret.goods_receipt_line",
            goods_receipt_id=receipt,
            product_variant_id=shop.variant,
            expected_qty=6,
            received_qty=6,
            accepted_qty=6,
        )
        sale(app, shop, {"quantity": 3})
        summarize(app)
        return shop, top

    @pytest.mark.parametrize("scope", ["company", "store", "elsewhere", "another category"])
    def test_a_plan_is_measured_by_its_category_and_place(
        self, app: Connection, traded: tuple[Shop, UUID], scope: str
    ) -> None:
        store, top = traded
        row(
            app,
            "ret.merchandise_plan",
            category_id=row(app, "ret.category") if scope == "another category" else top,
            location_id={
                "store": store.store,
                "elsewhere": row(app, "ret.location"),
            }.get(scope),
        )
        assert one(app, "SELECT ret.refresh_plans('2026-05-01', '2026-05-31')") == 1
        found = one(
            app,
            "SELECT on_order_receipts, actual_sales, actual_receipts FROM ret.merchandise_plan",
        )
        assert found == ((100, 30, 60) if scope in ("company", "store") else (0, 0, 0))

    def test_a_month_that_has_not_begun_has_no_actuals(
        self, app: Connection, traded: tuple[Shop, UUID]
    ) -> None:
        row(app, "ret.merchandise_plan", category_id=traded[1])
        one(app, "SELECT ret.refresh_plans('2026-05-01', '2026-04-20')")
        found = one(
            app,
            "SELECT on_order_receipts, actual_sales, actual_receipts FROM ret.merchandise_plan",
        )
        assert found == (100, None, None)

    def test_another_month_is_left_alone(self, app: Connection, traded: tuple[Shop, UUID]) -> None:
        row(app, "ret.merchandise_plan", category_id=traded[1])
        assert one(app, "SELECT ret.refresh_plans('2026-06-01')") == 0


def click(connection: Connection, session: str, kind: str, **given: Any) -> UUID:
    found = {"search": {"search_term": "tee", "result_count": 3}}.get(kind, {})
    return row(
        connection,
        "ret.web_event",
        **{
            "session_key": session,
            "event_kind": kind,
            "occurred_at": NOON,
            "device_kind": "mobile",
            **found,
            **given,
        },
    )


class TestVisits:
    def test_a_visit_counts_for_every_step_it_reached(self, app: Connection, shop: Shop) -> None:
        of: dict[str, Any] = {"sales_channel_id": shop.till}
        click(app, "a", "page_view", **of)
        click(app, "b", "product_view", product_variant_id=shop.variant, **of)
        click(app, "c", "purchase", value_amount=10, **of)
        click(app, "c", "purchase", value_amount=10, **of)
        found = one(
            app,
            "SELECT sessions, viewed, carted, checked_out, bought, conversion_pct"
            " FROM ret.web_funnel('2026-05-01', '2026-06-01')",
        )
        assert found == (3, 2, 1, 1, 1, Decimal("33.33"))

    def test_facets_are_counted_by_use(self, app: Connection, shop: Shop) -> None:
        facets = '{"facets": [{"facet": "size", "value": "M"}, {"facet": "color", "value": "red"}]}'
        for session in ("a", "a", "b"):
            click(app, session, "filter", sales_channel_id=shop.till, payload=facets)
        found = rows(
            app,
            "SELECT facet, value, uses, sessions, week_start::text FROM ret.v_facet_use"
            " ORDER BY facet",
        )
        assert found == [
            ("color", "red", 3, 2, "2026-05-04"),
            ("size", "M", 3, 2, "2026-05-04"),
        ]


VIEWS = ("category_week", "customer_cohort", "channel_search_terms")


class TestDashboards:
    @pytest.mark.parametrize("view", VIEWS)
    def test_a_materialized_view_is_read_through_its_barrier(
        self, app: Connection, view: str
    ) -> None:
        barrier = "SELECT 'security_barrier=true' = ANY (reloptions) FROM pg_class WHERE oid = %s"
        found = one(app, f"{barrier}::regclass", f"ret.v_{view}")
        assert found is True
        for role in ("app_user", "app_readonly"):
            may = "SELECT has_table_privilege(%s, %s, 'SELECT')"
            assert one(app, may, role, f"ret.mv_{view}") is False
            assert one(app, may, role, f"ret.v_{view}") is True

    def refresh(self, connection: Connection, tenant: UUID, view: str) -> None:
        connection.execute("RESET ROLE")
        connection.execute(
            sql.SQL("REFRESH MATERIALIZED VIEW {}").format(sql.Identifier("ret", f"mv_{view}"))
        )
        become_app(connection, tenant)

    @pytest.fixture
    def tenants(self, app: Connection, tenant: UUID, shop: Shop) -> tuple[UUID, UUID]:
        """Two businesses of which both have sold, searched and counted their stock."""
        app.execute("RESET ROLE")
        other = add_tenant(app, "other")
        become_app(app, other)
        for where in (open_shop(app), shop):
            if where is shop:
                app.execute("RESET ROLE")
                become_app(app, tenant)
            of: dict[str, Any] = {"sales_channel_id": where.till}
            move(
                app,
                where.store,
                where.variant,
                "receipt",
                "none",
                "available",
                8,
                occurred_at="2026-05-03 15:00+00",
            )
            sale(app, where, {"quantity": 2}, customer_id=row(app, "ret.customer"))
            summarize(app)
            one(app, "SELECT ret.snapshot_inventory('2026-05-05')")
            one(app, "SELECT ret.snapshot_inventory('2026-05-10')")
            click(app, "a", "search", **of)
            click(app, "b", "search", search_term="teee", result_count=0, **of)
            later = {"occurred_at": "2026-05-04 18:00+00", **of}
            click(app, "a", "add_to_cart", product_variant_id=where.variant, **later)
        return tenant, other

    def test_a_categorys_week_has_sales_and_stock(
        self, app: Connection, tenants: tuple[UUID, UUID]
    ) -> None:
        self.refresh(app, tenants[0], "category_week")
        found = rows(
            app,
            "SELECT week_start::text, net_sales, margin, margin_pct, units_sold, stock_value,"
            " stock_turn, sell_through_pct FROM ret.v_category_week",
        )
        # Eight pieces at 2; two sold that cost 4 each.
        assert found == [("2026-05-04", 20, 12, 60, 2, 16, 26, 20)]

    def test_a_cohort_is_followed_month_by_month(
        self, app: Connection, tenants: tuple[UUID, UUID], shop: Shop
    ) -> None:
        first = one(app, "SELECT customer_id FROM ret.customer")
        sale(app, shop, at="2026-07-04 17:00+00", customer_id=first)
        sale(app, shop, at="2026-05-20 17:00+00", customer_id=row(app, "ret.customer"))
        self.refresh(app, tenants[0], "customer_cohort")
        found = rows(
            app,
            "SELECT cohort_month::text, months_since, customers, active_customers, orders,"
            " revenue, retention_pct FROM ret.v_customer_cohort ORDER BY months_since",
        )
        assert found == [
            ("2026-05-01", 0, 2, 2, 2, 30, 100),
            ("2026-05-01", 2, 2, 1, 1, 10, 50),
        ]

    def test_terms_are_followed_to_the_cart(
        self, app: Connection, tenants: tuple[UUID, UUID]
    ) -> None:
        self.refresh(app, tenants[0], "channel_search_terms")
        found = rows(
            app,
            "SELECT search_term, searches, zero_searches, mean_results, add_to_cart_pct,"
            " conversion_pct FROM ret.v_channel_search_terms ORDER BY search_term",
        )
        assert found == [("tee", 1, 0, 3, 100, 0), ("teee", 1, 1, 0, 0, 0)]

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_tenant_sees_its_own_part(
        self, app: Connection, tenants: tuple[UUID, UUID], view: str
    ) -> None:
        self.refresh(app, tenants[0], view)
        seen = sql.SQL("SELECT DISTINCT business_id FROM {}").format(
            sql.Identifier("ret", f"v_{view}")
        )
        assert app.execute(seen).fetchall() == [(tenants[0],)]
        app.execute("RESET ROLE")
        both = sql.SQL("SELECT count(DISTINCT business_id) FROM {}").format(
            sql.Identifier("ret", f"mv_{view}")
        )
        assert app.execute(both).fetchone() == (2,)

    def test_the_worklist_sets_proposals_beside_the_forecast(
        self, app: Connection, shop: Shop
    ) -> None:
        of = {"location_id": shop.store, "product_variant_id": shop.variant}
        to = (shop.store, shop.variant)
        move(app, *to, "receipt", "none", "available", 2, occurred_at=NOON)
        rule = row(app, "ret.replenishment_rule", supplier_id=row(app, "ret.supplier"), **of)
        run = "2026-05-04 06:00+00"
        for state in ("proposed", "rejected"):
            imported(
                app,
                "ret.replenishment_suggestion",
                replenishment_rule_id=rule,
                state=state,
                run_at=run if state == "proposed" else "2026-05-03 06:00+00",
                decided_at=None if state == "proposed" else run,
                suggested_qty=8,
                **of,
            )
        for week, made, quantity in (
            ("2026-05-04", "2026-05-01", 10),
            ("2026-05-04", "2026-05-03", 12),
            ("2026-05-11", "2026-05-03", 11),
            ("2026-06-01", "2026-05-03", 99),
        ):
            row(
                app,
                "ret.demand_forecast",
                week_start=week,
                run_at=made,
                baseline_qty=quantity,
                forecast_qty=quantity,
                high_qty=quantity,
                **of,
            )
        found = one(
            app,
            "SELECT sku, suggested_qty, on_hand_qty, forecast_weeks, forecast_qty, ordered_qty"
            " FROM ret.v_replenishment_worklist",
        )
        assert found == ("TEE-M", 8, 2, 2, 23, None)
