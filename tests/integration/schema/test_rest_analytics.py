"""Summaries agree with their checks or are named; what is unlike the others raises an alert."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_orders import add_line, open_check

PATHS: dict[str, tuple[str, ...]] = {
    "open": (),
    "reviewing": ("reviewing",),
    "confirmed": ("reviewing", "confirmed"),
    "dismissed": ("dismissed",),
}
ALLOWED = {
    ("open", "reviewing"),
    ("open", "dismissed"),
    ("reviewing", "confirmed"),
    ("reviewing", "dismissed"),
}


def one(connection: Connection, query: str) -> Any:
    found = connection.execute(query.encode()).fetchone()
    assert found
    return found


def summarize(connection: Connection) -> int:
    days = "SELECT rest.summarize_day(business_day_id) FROM rest.business_day"
    return int(one(connection, days)[0])


@pytest.fixture
def check(app: Connection) -> UUID:
    """A check of 20 in an order for three."""
    made = open_check(app, guest_count=3)
    add_line(app, made, 20)
    return made


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("sales_forecast", {"low_sales": 101}, "low_sales_in_order"),
        ("sales_forecast", {"high_sales": 99}, "forecast_sales_in_order"),
        ("sales_forecast", {"actual_covers": -1}, "not_negative"),
        ("sales_forecast", {"slot_minutes": 5}, "slot_bounded"),
        ("sales_forecast", {"drivers_doc": "{}"}, "drivers_are_a_list"),
        ("sales_day_summary", {"gross_sales": -1}, "not_negative"),
        ("item_sales_day", {"gross_sales": 5}, "net_is_gross_less_discount"),
        ("item_sales_day", {"quantity_sold": -1}, "not_negative"),
        ("item_sales_day", {"menu_mix_pct": 101}, "mix_bounded"),
        ("food_cost_variance", {"period_end": "2026-05-04"}, "period_end_follows"),
        ("guest_rfm_snapshot", {"r_score": 6}, "scores_bounded"),
        ("guest_rfm_snapshot", {"churn_probability": 1.1}, "churn_probability_bounded"),
        ("guest_rfm_snapshot", {"recency_days": -1}, "not_negative"),
        ("guest_rfm_snapshot", {"predicted_next_visit_on": "2020-01-01"}, "next_visit_ahead"),
        ("loss_prevention_alert", {"window_end_at": "2026-05-04 00:00+00"}, "window_end_at"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


def test_a_day_is_summed_and_agrees(app: Connection, check: UUID) -> None:
    assert summarize(app) == 1
    found = one(
        app,
        "SELECT gross_sales, net_sales, tax_total, order_count, cover_count, average_check"
        " FROM rest.sales_day_summary",
    )
    assert found == (Decimal(20), Decimal(20), Decimal(2), 1, 3, Decimal(20))
    assert one(app, "SELECT count(*) FROM rest.sales_summary_differences()") == (0,)


def test_summing_a_day_again_changes_nothing(app: Connection, check: UUID) -> None:
    summarize(app)
    summary = "SELECT md5(string_agg(to_jsonb(s)::text, '')) FROM rest.sales_day_summary AS s"
    before = one(app, summary)
    summarize(app)
    assert one(app, summary) == before
    assert one(app, "SELECT count(*) FROM rest.item_sales_day") == (1,)


@pytest.mark.parametrize(
    "figure",
    [
        "gross_sales",
        "discount_total",
        "void_total",
        "tax_total",
        "tip_total",
        "order_count",
        "cover_count",
    ],
)
def test_a_day_that_does_not_agree_is_named(app: Connection, check: UUID, figure: str) -> None:
    summarize(app)
    app.execute(f"UPDATE rest.sales_day_summary SET {figure} = {figure} + 1".encode())
    found = app.execute("SELECT figure, said - found FROM rest.sales_summary_differences()")
    assert found.fetchall() == [(figure, 1)]


def test_what_is_sold_after_the_summary_is_named(app: Connection, check: UUID) -> None:
    summarize(app)
    add_line(app, check, 5)
    found = app.execute("SELECT figure FROM rest.sales_summary_differences()").fetchall()
    assert {f for (f,) in found} == {"gross_sales", "tax_total"}


def test_an_item_is_summed_with_its_mix(app: Connection, check: UUID) -> None:
    add_line(app, check, 5, quantity=3)
    summarize(app)
    found = app.execute(
        "SELECT quantity_sold, net_sales, menu_mix_pct, menu_class FROM rest.item_sales_day"
        " ORDER BY quantity_sold"
    ).fetchall()
    assert found == [
        (Decimal(1), Decimal(20), Decimal(25), "puzzle"),
        (Decimal(3), Decimal(15), Decimal(75), "plowhorse"),
    ]


def test_guests_are_ranked_in_fifths(app: Connection) -> None:
    for spent in (10, 20, 30, 40, 50):
        guest = row(app, "rest.guest_profile")
        add_line(app, open_check(app, guest_profile_id=guest), spent)
    assert one(app, "SELECT rest.snapshot_guests('2026-05-10')") == (5,)
    ranked = app.execute(
        "SELECT monetary_total, m_score, recency_days FROM rest.guest_rfm_snapshot ORDER BY m_score"
    ).fetchall()
    assert ranked == [(Decimal(10 * n), n, 6) for n in range(1, 6)]


def test_accuracy_is_the_mean_of_the_errors(app: Connection) -> None:
    place = row(app, "rest.location")
    for hour, actual in ((10, 100), (11, 80), (12, None)):
        row(
            app,
            "rest.sales_forecast",
            location_id=place,
            model_name="m",
            slot_starts_at=f"2026-05-04 {hour}:00+00",
            actual_sales=actual,
        )
    found = one(
        app,
        "SELECT slots, mape, bias_pct, in_band_pct"
        " FROM rest.forecast_accuracy('2026-05-04', '2026-05-06')",
    )
    assert found == (2, Decimal("12.50"), Decimal("11.11"), Decimal("100.00"))


def test_complaints_are_counted_by_topic(app: Connection) -> None:
    for score in (-0.6, -0.2, 0.9):
        row(app, "rest.guest_feedback", topics_doc=f'[{{"topic": "wait", "score": {score}}}]')
    found = one(app, "SELECT sum(complaints), min(topic) FROM rest.v_complaint_topic_week")
    assert found == (2, "wait")


def test_drivers_are_listed(app: Connection) -> None:
    doc = '[{"driver": "rain", "effect_pct": -8}, {"driver": "event", "effect_pct": 20}]'
    row(app, "rest.sales_forecast", drivers_doc=doc)
    found = app.execute(
        "SELECT driver, mean_effect_pct FROM rest.v_forecast_driver ORDER BY driver"
    )
    assert found.fetchall() == [("event", 20), ("rain", -8)]


@pytest.mark.parametrize("edge", list(permutations(PATHS, 2)), ids="-".join)
def test_an_alert_takes_its_allowed_ways(app: Connection, edge: tuple[str, str]) -> None:
    before, after = edge
    row(app, "rest.loss_prevention_alert", reviewed_at="2026-05-12 00:00+00")
    for step in PATHS[before]:
        app.execute("UPDATE rest.loss_prevention_alert SET state = %s", [step])
    change = "UPDATE rest.loss_prevention_alert SET state = %s"
    if edge in ALLOWED:
        app.execute(change.encode(), [after])
    else:
        with pytest.raises(psycopg.Error, match=f"{before}.*{after}"):
            app.execute(change.encode(), [after])


def test_an_alert_under_review_has_its_time(app: Connection) -> None:
    row(app, "rest.loss_prevention_alert")
    with pytest.raises(errors.CheckViolation, match="reviewed_at_when"):
        app.execute("UPDATE rest.loss_prevention_alert SET state = 'reviewing'")


def test_a_voided_line_is_gross_but_not_net(app: Connection, check: UUID) -> None:
    line = add_line(app, check, 5)
    staff, reason = row(app, "rest.staff_member"), row(app, "rest.reason_code", reason_group="void")
    app.execute(
        "UPDATE rest.check_item SET state = 'voided', voided_at = now(), void_reason_id = %s,"
        " voided_by_staff_id = %s WHERE check_item_id = %s",
        [reason, staff, line],
    )
    summarize(app)
    found = one(app, "SELECT gross_sales, void_total, net_sales FROM rest.sales_day_summary")
    assert found == (Decimal(25), Decimal(5), Decimal(20))
    assert one(app, "SELECT sum(void_quantity) FROM rest.item_sales_day") == (1,)


def test_actuals_are_what_came_in_the_slot(app: Connection) -> None:
    made = open_check(app, guest_count=3, opened_at="2026-05-04 10:30+00")
    add_line(app, made, 20)
    place = one(app, "SELECT location_id FROM rest.guest_order")[0]
    for hour in (10, 11, 12):
        row(
            app,
            "rest.sales_forecast",
            location_id=place,
            slot_starts_at=f"2026-05-04 {hour}:00+00",
        )
    recorded = "SELECT rest.record_actuals('2026-05-04 10:00+00', '2026-05-04 12:00+00')"
    assert one(app, recorded) == (2,)
    found = app.execute(
        "SELECT actual_covers, actual_sales, abs_pct_error FROM rest.sales_forecast"
        " ORDER BY slot_starts_at"
    ).fetchall()
    assert found == [(3, Decimal(20), Decimal(400)), (0, Decimal(0), None), (None, None, None)]


@pytest.fixture
def shift(app: Connection) -> UUID:
    """A site where one of three servers voided half of four lines; returns who."""
    made = open_check(app, opened_at="2026-05-04 10:30+00")
    placed = one(app, "SELECT guest_order_id FROM rest.guest_order")[0]
    reason = row(app, "rest.reason_code", reason_group="void")
    for number in (2, 3, 4):
        staff = row(app, "rest.staff_member")
        made = row(
            app,
            "rest.guest_check",
            guest_order_id=placed,
            check_number=str(number),
            owner_staff_id=staff,
        )
        lines = [add_line(app, made, 10) for _ in range(4)]
    app.execute(
        "UPDATE rest.check_item SET state = 'voided', voided_at = now(), void_reason_id = %s,"
        " voided_by_staff_id = %s WHERE check_item_id = ANY (%s)",
        [reason, staff, lines[:2]],
    )
    return staff


FIND = "SELECT rest.find_losses('2026-05-04', '2026-05-05', least_lines => {})"


def test_who_voids_more_than_the_others_is_found_once(app: Connection, shift: UUID) -> None:
    assert one(app, FIND.format(4)) == (1,)
    found = one(
        app,
        "SELECT staff_member_id, alert_kind, metric_value, baseline_value, state,"
        " jsonb_array_length(evidence_doc -> 'checks') FROM rest.loss_prevention_alert",
    )
    assert found == (shift, "void_rate", 50, 0, "open", 1)
    assert one(app, FIND.format(4)) == (0,)


def test_few_lines_raise_no_alert(app: Connection, shift: UUID) -> None:
    assert one(app, FIND.format(5)) == (0,)


def test_food_cost_is_what_left_less_what_was_sold(app: Connection) -> None:
    item = row(app, "rest.inventory_item", average_cost=2)
    area = row(app, "rest.storage_area")
    for kind, quantity, day in (
        ("receipt", 50, "2026-05-01"),
        ("receipt", 10, "2026-05-05"),
        ("sale", -20, "2026-05-06"),
        ("waste", -3, "2026-05-07"),
        ("count_adjustment", -2, "2026-05-10"),
        ("sale", -9, "2026-05-11"),
    ):
        row(
            app,
            "rest.stock_movement",
            inventory_item_id=item,
            storage_area_id=area,
            movement_kind=kind,
            source_id=uuid4(),
            quantity=quantity,
            unit_cost=2,
            business_date=day,
            occurred_at=f"{day} 12:00+00",
        )
    assert one(app, "SELECT rest.measure_food_cost('2026-05-04', '2026-05-11')") == (1,)
    found = one(
        app,
        "SELECT opening_value, purchases_value, closing_value, variance_qty, variance_value,"
        " unexplained_value FROM rest.food_cost_variance",
    )
    assert found == (100, 20, 70, 5, 10, 4)


def test_the_margin_of_a_tenant_is_its_own(app: Connection) -> None:
    for view in ("v_brand_channel_margin", "v_server_performance"):
        kept = one(
            app,
            "SELECT 'security_barrier=true' = ANY (reloptions) FROM pg_class"
            f" WHERE oid = 'rest.{view}'::regclass",
        )
        assert kept == (True,)
        shown = f"has_table_privilege('rest.m{view}'::regclass, 'SELECT')"
        assert one(app, f"SELECT {shown}") == (False,)


def test_two_who_summarize_a_day_follow_each_other(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        add_line(connection, open_check(connection), 20)

    def compute(_: int) -> int:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            return summarize(connection)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(compute, range(4))) == [1, 1, 1, 1]
