"""Counts put the books right once, and rules propose what is missing, with reasons."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_inventory import (
    ADA,
    as_app,
    differences,
    level,
    move,
    moves,
    value,
)

COUNT = {
    "requested": {"counting", "cancelled"},
    "counting": {"counted", "cancelled"},
    "counted": {"investigating", "ready_to_review", "cancelled"},
    "investigating": {"ready_to_review", "cancelled"},
    "ready_to_review": {"investigating", "reviewed", "cancelled"},
    "reviewed": {"completed"},
    "completed": set(),
    "cancelled": set(),
}
LINE = {
    "open": {"counted"},
    "counted": {"recount", "accepted"},
    "recount": {"accepted", "counted"},
    "accepted": {"adjusted", "recount"},
    "adjusted": set(),
}
SUGGESTION = {
    "proposed": {"accepted", "changed", "rejected", "expired"},
    "accepted": set(),
    "changed": set(),
    "rejected": set(),
    "expired": set(),
}
RUN = "2026-05-04 06:00+00"


@pytest.fixture
def shop(app: Connection) -> UUID:
    """A store."""
    return row(app, "ret.location", location_code="S1")


@pytest.fixture
def stocked(app: Connection, shop: UUID) -> UUID:
    """A variant, ten of which lie in the store."""
    variant = row(app, "ret.product_variant", sku="TEE-M")
    move(app, shop, variant, "receipt", "none", "available", 10, occurred_at="2026-01-01")
    return variant


class TestCounts:
    """A count is posted once, and what moved since the freeze is no variance."""

    def start(self, connection: Connection, place: UUID, variant: UUID, lines: int = 1) -> UUID:
        made = row(
            connection,
            "ret.cycle_count",
            location_id=place,
            assigned_user_id=value(connection, ADA),
            requested_at="2026-05-01",
        )
        for _ in range(lines):
            row(
                connection,
                "ret.cycle_count_line",
                cycle_count_id=made,
                product_variant_id=variant,
            )
        connection.execute(
            "UPDATE ret.cycle_count SET state = 'counting', freeze_at = '2026-05-02'"
        )
        return made

    def finish(self, connection: Connection, quantity: float, at: str = "2026-05-02 02:00") -> None:
        connection.execute(
            "UPDATE ret.cycle_count_line SET state = 'counted', counted_qty = %s, counted_at = %s",
            [quantity, at],
        )
        connection.execute(
            "UPDATE ret.cycle_count_line SET state = 'accepted', final_qty = counted_qty"
        )
        for state in ("counted", "ready_to_review", "reviewed"):
            connection.execute("UPDATE ret.cycle_count SET state = %s", [state])

    def post(self, connection: Connection, count: UUID) -> Any:
        return value(connection, "SELECT ret.post_cycle_count(%s)", count)

    @pytest.mark.parametrize(
        ("counted", "state", "accurate"), [(8, "adjusted", 0), (10, "accepted", 1)]
    )
    def test_a_variance_goes_to_the_ledger(
        self, app: Connection, shop: UUID, stocked: UUID, counted: int, state: str, accurate: int
    ) -> None:
        made = self.start(app, shop, stocked)
        self.finish(app, counted)
        assert self.post(app, made) == 2 * (counted - 10)
        assert level(app, shop, stocked)["on_hand"] == counted
        assert value(app, "SELECT state FROM ret.cycle_count_line") == state
        head = app.execute(
            "SELECT state, lines_total, lines_accurate, variance_units, variance_value"
            " FROM ret.cycle_count"
        ).fetchone()
        assert head == ("completed", 1, accurate, counted - 10, 2 * (counted - 10))
        assert value(app, "SELECT last_counted_at IS NOT NULL FROM ret.stock_level")
        assert differences(app) == []

    @pytest.mark.parametrize(
        ("sold_at", "counted", "variance", "left"),
        [
            ("2026-05-02 01:00+00", 7, 0, 7),
            ("2026-05-02 03:00+00", 10, 0, 7),
            ("2026-05-01 23:00+00", 10, 0, 7),
            ("2026-05-02 01:00+00", 6, -1, 6),
        ],
    )
    def test_what_moved_before_the_look_is_no_variance(
        self,
        app: Connection,
        shop: UUID,
        stocked: UUID,
        sold_at: str,
        counted: int,
        variance: int,
        left: int,
    ) -> None:
        made = self.start(app, shop, stocked)
        move(app, shop, stocked, "sale", "available", "none", 3, occurred_at=sold_at)
        self.finish(app, counted, "2026-05-02 02:00+00")
        self.post(app, made)
        assert value(app, "SELECT variance_qty FROM ret.cycle_count_line") == variance
        assert level(app, shop, stocked)["on_hand"] == left

    def test_lines_of_bins_are_charged_with_their_bin(
        self, app: Connection, shop: UUID, stocked: UUID
    ) -> None:
        made = self.start(app, shop, stocked, lines=2)
        bins = [row(app, "ret.bin_location", location_id=shop) for _ in range(2)]
        app.execute(
            "UPDATE ret.cycle_count_line SET expected_qty = 5, bin_location_id ="
            " (%s::uuid[])[1 + line_number %% 2]",
            [bins],
        )
        move(
            app,
            shop,
            stocked,
            "sale",
            "available",
            "none",
            2,
            occurred_at="2026-05-02 01:00+00",
            bin_location_id=bins[0],
        )
        self.finish(app, 5, "2026-05-02 02:00+00")
        self.post(app, made)
        found = app.execute(
            "SELECT bin_location_id, expected_qty FROM ret.cycle_count_line ORDER BY expected_qty"
        ).fetchall()
        assert found == [(bins[0], 3), (bins[1], 5)]

    def test_a_count_beats_a_promise(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        move(
            app,
            shop,
            stocked,
            "sale",
            "available",
            "reserved",
            9,
            occurred_at="2026-01-02",
        )
        made = self.start(app, shop, stocked)
        self.finish(app, 8)
        self.post(app, made)
        assert level(app, shop, stocked)["available"] == -1

    def test_it_is_posted_once_when_it_was_reviewed(
        self, app: Connection, shop: UUID, stocked: UUID
    ) -> None:
        made = self.start(app, shop, stocked)
        with pytest.raises(errors.CheckViolation, match="posted when it was"), app.transaction():
            self.post(app, made)
        self.finish(app, 9)
        self.post(app, made)
        with pytest.raises(errors.CheckViolation, match="posted when it was"):
            self.post(app, made)

    def test_every_line_is_accepted_before(
        self, app: Connection, shop: UUID, stocked: UUID
    ) -> None:
        made = self.start(app, shop, stocked)
        self.finish(app, 9)
        app.execute("UPDATE ret.cycle_count_line SET state = 'recount'")
        with pytest.raises(errors.CheckViolation, match="is not accepted"):
            self.post(app, made)

    def test_nobody_completes_it_by_hand(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        self.start(app, shop, stocked)
        self.finish(app, 9)
        with pytest.raises(errors.CheckViolation, match="lines that were not posted"):
            app.execute("UPDATE ret.cycle_count SET state = 'completed', completed_at = now()")

    def test_there_is_no_such_count(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound, match="there is no count"):
            self.post(app, row(app, "ret.location"))

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"lines_accurate": 1}, "accurate_bounded"),
            ({"started_at": "2026-05-03"}, "starts_after_request"),
            ({"freeze_at": "2026-05-03"}, "freezes_after_request"),
            ({"completed_at": "2026-05-05"}, "completed_has_time"),
        ],
    )
    def test_what_a_count_cannot_be(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"cycle_count_{truth}"):
            row(app, "ret.cycle_count", requested_at="2026-05-04", **columns)

    def test_another_counts_again(self, app: Connection) -> None:
        ada = value(app, ADA)
        with pytest.raises(errors.CheckViolation, match="recounted_by_another"):
            row(app, "ret.cycle_count", assigned_user_id=ada, recount_user_id=ada)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"counted_qty": -1}, "counts_not_negative"),
            ({"counted_qty": 3, "final_qty": 4}, "final_was_counted"),
        ],
    )
    def test_what_a_line_cannot_be(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"cycle_count_line_{truth}"):
            row(app, "ret.cycle_count_line", **columns)

    @pytest.mark.parametrize("after", COUNT)
    @pytest.mark.parametrize("before", COUNT)
    def test_its_states(self, app: Connection, before: str, after: str) -> None:
        row(
            app,
            "ret.cycle_count",
            requested_at="2026-05-01",
            started_at="2026-05-02",
            freeze_at="2026-05-02",
        )
        shape = {
            state: "completed_at = '2026-05-03'" if state == "completed" else "completed_at = NULL"
            for state in COUNT
        }
        allowed = after in COUNT[before] | {before}
        assert moves(app, "ret.cycle_count", "state", before, after, shape) == allowed

    @pytest.mark.parametrize("after", LINE)
    @pytest.mark.parametrize("before", LINE)
    def test_the_states_of_a_line(self, app: Connection, before: str, after: str) -> None:
        row(app, "ret.cycle_count_line", counted_qty=1, counted_at="2026-05-02", final_qty=1)
        allowed = after in LINE[before] | {before}
        assert moves(app, "ret.cycle_count_line", "state", before, after) == allowed


class TestReplenishment:
    """What a rule asks for, in packs, with the numbers behind it."""

    def rule(self, connection: Connection, place: UUID, variant: UUID, **given: Any) -> UUID:
        supplier = row(connection, "ret.supplier", default_lead_days=4)
        return row(
            connection,
            "ret.replenishment_rule",
            location_id=place,
            product_variant_id=variant,
            supplier_id=supplier,
            **{"service_level_pct": 50, "review_every_days": 7, **given},
        )

    def sell(self, connection: Connection, place: UUID, variant: UUID, quantity: int) -> None:
        move(
            connection,
            place,
            variant,
            "sale",
            "available",
            "none",
            quantity,
            occurred_at="2026-05-01",
        )

    def suggest(self, connection: Connection, place: UUID, at: str = RUN) -> Any:
        return value(connection, "SELECT ret.suggest_replenishment(%s, %s)", place, at)

    @pytest.mark.parametrize(
        ("given", "sold", "expected"),
        [
            ({"method": "min_max", "min_qty": 4, "max_qty": 12}, 7, 9),
            ({"method": "min_max", "min_qty": 3, "max_qty": 12}, 7, None),
            ({"method": "presentation", "min_qty": 5, "max_qty": 5}, 6, 1),
            ({"method": "min_max", "min_qty": 4, "max_qty": 12, "order_multiple": 6}, 7, 12),
            # A quarter a day and four days' lead: the reorder point holds.
            ({"method": "reorder_point", "reorder_point": 4, "max_qty": None}, 7, 3),
            ({"method": "days_of_cover", "days_of_cover": 16}, 7, 2),
            ({"method": "demand_driven"}, 7, None),
            ({"method": "demand_driven", "safety_stock_qty": 3}, 7, 3),
            ({"method": "min_max", "min_qty": 4, "max_qty": 12, "is_active": False}, 7, None),
        ],
    )
    def test_what_a_method_asks_for(
        self,
        app: Connection,
        shop: UUID,
        stocked: UUID,
        given: dict[str, Any],
        sold: int,
        expected: int | None,
    ) -> None:
        self.sell(app, shop, stocked, sold)
        self.rule(app, shop, stocked, **given)
        self.suggest(app, shop)
        found = app.execute("SELECT suggested_qty FROM ret.replenishment_suggestion").fetchone()
        assert found == (None if expected is None else (expected,))

    def test_what_is_on_its_way_counts(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        self.rule(app, shop, stocked, min_qty=12, max_qty=20)
        move(app, shop, stocked, "receipt", "none", "incoming", 2)
        assert self.suggest(app, shop) == 0

    def test_it_explains_itself(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        self.sell(app, shop, stocked, 7)
        self.rule(app, shop, stocked, min_qty=4, max_qty=12)
        assert self.suggest(app, shop) == 1
        found = app.execute(
            "SELECT on_hand_qty, on_order_qty, forecast_qty, days_cover_after, inputs_doc"
            " FROM ret.replenishment_suggestion"
        ).fetchone()
        assert found
        assert found[:4] == (3, 0, Decimal("2.75"), 48)
        assert found[4] | {"per_day": 0.25, "lead_days": 4, "need": 9, "target": 12} == found[4]

    def test_a_run_repeated_makes_nothing_and_a_later_one_expires_it(
        self, app: Connection, shop: UUID, stocked: UUID
    ) -> None:
        self.rule(app, shop, stocked, min_qty=11, max_qty=12)
        assert (self.suggest(app, shop), self.suggest(app, shop)) == (1, 0)
        assert self.suggest(app, shop, "2026-05-05 06:00+00") == 1
        found = app.execute("SELECT state FROM ret.replenishment_suggestion ORDER BY run_at")
        assert found.fetchall() == [("expired",), ("proposed",)]

    def test_safety_stock_grows_with_the_service_level(
        self, app: Connection, shop: UUID, stocked: UUID
    ) -> None:
        self.sell(app, shop, stocked, 7)
        self.rule(app, shop, stocked, method="demand_driven", service_level_pct=99.9)
        self.suggest(app, shop)
        # Four days of a quarter vary by one: three and a bit of it, in whole pieces.
        assert value(
            app, "SELECT (inputs_doc ->> 'safety_stock')::numeric FROM ret.replenishment_suggestion"
        ) == Decimal(4)

    @pytest.mark.parametrize(
        ("percent", "expected"), [(50, 0), (90, 1.28), (95, 1.645), (97.5, 1.96), (99, 2.33)]
    )
    def test_the_quantile_of_a_service_level(
        self, app: Connection, percent: float, expected: float
    ) -> None:
        found = value(app, "SELECT ret.normal_quantile(%s::numeric)", percent)
        assert float(found) == pytest.approx(expected, abs=0.02)

    def test_demand_is_net_of_returns(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        self.sell(app, shop, stocked, 7)
        move(app, shop, stocked, "return", "none", "available", 1, occurred_at="2026-05-02")
        move(app, shop, stocked, "sale", "available", "none", 1, occurred_at="2026-04-01")
        move(app, shop, stocked, "sale", "available", "reserved", 1, occurred_at="2026-05-02")
        found = value(app, "SELECT per_day FROM ret.daily_demand(%s, %s, 3)", shop, "2026-05-03")
        assert found == 2

    def test_there_is_no_such_location(self, app: Connection, stocked: UUID) -> None:
        with pytest.raises(errors.NoDataFound, match="there is no location"):
            self.suggest(app, stocked)

    def test_a_suggestion_is_of_its_rule(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        rule = self.rule(app, shop, stocked, order_multiple=6)
        given = {"replenishment_rule_id": rule, "location_id": shop}
        with pytest.raises(errors.CheckViolation, match="not a multiple of 6"), app.transaction():
            row(
                app,
                "ret.replenishment_suggestion",
                product_variant_id=stocked,
                suggested_qty=7,
                **given,
            )
        with pytest.raises(errors.CheckViolation, match="of another variant"):
            row(app, "ret.replenishment_suggestion", suggested_qty=6, **given)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"max_qty": 3}, "max_not_below_min"),
            ({"service_level_pct": 49}, "service_level_pct_bounded"),
            ({"order_multiple": 0}, "multiple_positive"),
            ({"review_every_days": 0}, "review_positive"),
            ({"reorder_point": -1}, "quantities_not_negative"),
            ({"method": "reorder_point"}, "method_has_figures"),
            ({"method": "days_of_cover"}, "method_has_figures"),
            ({"max_qty": None}, "method_has_figures"),
            ({"supplier_id": None}, "has_one_source"),
        ],
    )
    def test_what_a_rule_cannot_be(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        given = {"supplier_id": row(app, "ret.supplier"), **columns}
        with pytest.raises(errors.CheckViolation, match=f"replenishment_rule_{truth}"):
            row(app, "ret.replenishment_rule", **given)

    @pytest.fixture
    def proposed(self, app: Connection, shop: UUID, stocked: UUID) -> UUID:
        """A proposal of one piece."""
        return row(
            app,
            "ret.replenishment_suggestion",
            replenishment_rule_id=self.rule(app, shop, stocked),
            location_id=shop,
            product_variant_id=stocked,
        )

    @pytest.mark.parametrize(
        ("change", "truth"),
        [
            ("suggested_qty = 0", "asks_for_something"),
            ("accepted_qty = -1", "accepted_not_negative"),
            ("stockout_risk_pct = 101", "risk_bounded"),
            ("decided_at = now()", "decided_has_time"),
            ("state = 'accepted', decided_at = now()", "accepted_says_how_much"),
            ("state = 'changed', decided_at = now(), accepted_qty = 1", "changed_is_another"),
            ("state = 'rejected', decided_at = '2026-05-01'", "decided_after_run"),
        ],
    )
    def test_what_a_proposal_cannot_be(
        self, app: Connection, proposed: UUID, change: str, truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"replenishment_suggestion_{truth}"):
            app.execute(f"UPDATE ret.replenishment_suggestion SET {change}".encode())

    @pytest.mark.parametrize("after", SUGGESTION)
    @pytest.mark.parametrize("before", SUGGESTION)
    def test_its_states(self, app: Connection, proposed: UUID, before: str, after: str) -> None:
        decided = "decided_at = '2026-05-05', accepted_qty"
        shape = dict.fromkeys(SUGGESTION, f"{decided} = 1") | {
            "proposed": "decided_at = NULL, accepted_qty = NULL",
            "changed": f"{decided} = 2",
        }
        allowed = after in SUGGESTION[before] | {before}
        table = "ret.replenishment_suggestion"
        assert moves(app, table, "state", before, after, shape) == allowed

    def test_a_position_names_its_rule_and_proposal(
        self, app: Connection, shop: UUID, stocked: UUID
    ) -> None:
        rule = self.rule(app, shop, stocked, min_qty=11, max_qty=12)
        self.suggest(app, shop)
        found = app.execute(
            "SELECT replenishment_rule_id, suggested_qty FROM ret.v_stock_position"
        ).fetchone()
        assert found == (rule, 2)


def test_two_post_a_count_once(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        add_account(connection, tenant, "ada")
        become_app(connection, tenant)
        place, variant = (row(connection, f"ret.{t}") for t in ("location", "product_variant"))
        move(connection, place, variant, "receipt", "none", "available", 5)
        made = TestCounts().start(connection, place, variant)
        TestCounts().finish(connection, 3)

    def post(_: int) -> int:
        with as_app(target, tenant) as connection:
            try:
                TestCounts().post(connection, made)
            except errors.CheckViolation:
                connection.rollback()
                return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(post, range(4))) == 1
    with as_app(target, tenant) as connection:
        assert level(connection, place, variant)["on_hand"] == 3
        assert differences(connection) == []
