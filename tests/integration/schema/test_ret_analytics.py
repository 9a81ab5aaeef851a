"""What is said of a day is what its orders, returns, doors and stock say, or it is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.test_ret_inventory import move

NOON = "2026-05-04 17:00+00"


@dataclass(frozen=True)
class Shop:
    """A store in Chicago with a till, and an article for 10 that costs 4."""

    store: UUID
    till: UUID
    variant: UUID


def open_shop(connection: Connection) -> Shop:
    return Shop(
        row(connection, "ret.location", location_code="S1", timezone="America/Chicago"),
        row(connection, "ret.sales_channel", channel_code="TILL", channel_kind="store"),
        row(connection, "ret.product_variant", sku="TEE-M"),
    )


@pytest.fixture
def shop(app: Connection) -> Shop:
    return open_shop(app)


def one(connection: Connection, query: str, *given: Any) -> Any:
    found = connection.execute(query.encode(), given).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


def sale(
    connection: Connection,
    shop: Shop,
    *lines: dict[str, Any],
    at: str = NOON,
    **given: Any,
) -> UUID:
    """A confirmed order; a line is one article for 10 unless told otherwise."""
    order = row(
        connection,
        "ret.sales_order",
        state="confirmed",
        **{
            "order_kind": "sale",
            "placed_at": at,
            "sold_location_id": shop.store,
            "sales_channel_id": shop.till,
            **given,
        },
    )
    for line in lines or ({},):
        add_line(connection, shop, order, **line)
    return order


def add_line(connection: Connection, shop: Shop, order: UUID, **given: Any) -> UUID:
    return row(
        connection,
        "ret.sales_order_line",
        sales_order_id=order,
        fulfilment_choice="carry_out",
        **{"product_variant_id": shop.variant, "unit_cost": 4, "list_price": 10, **given},
    )


def take_back(
    connection: Connection,
    shop: Shop,
    order: UUID,
    at: str = NOON,
    disposition: str = "restock",
    **given: Any,
) -> None:
    """One article of an order came back and was paid for."""
    line = one(
        connection,
        "SELECT sales_order_line_id FROM ret.sales_order_line WHERE sales_order_id = %s",
        order,
    )
    rma = imported(
        connection,
        "ret.return_authorisation",
        sales_order_id=order,
        state="completed",
        requested_at=at,
        approved_at=at,
        received_at=at,
        completed_at=at,
        **{"return_location_id": shop.store, **given},
    )
    back = imported(
        connection,
        "ret.return_line",
        return_authorisation_id=rma,
        sales_order_line_id=line,
        unit_refund=10,
        acceptance="accepted",
        reception="received",
    )
    row(
        connection,
        "ret.return_inspection",
        return_line_id=back,
        location_id=shop.store,
        grade="a",
        disposition=disposition,
    )


def summarize(connection: Connection, since: str = "2026-05-04", until: str = "2026-05-05") -> int:
    one(connection, "SELECT ret.summarize_variants(%s, %s)", since, until)
    return int(one(connection, "SELECT ret.summarize_sales(%s, %s)", since, until))


def differences(connection: Connection) -> list[Any]:
    found = connection.execute(
        "SELECT figure FROM ret.sales_summary_differences('2026-05-01', '2026-06-01')"
    )
    return sorted(figure for (figure,) in found.fetchall())


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("web_event", {"result_count": 3}, "search_has_results"),
        ("web_event", {"event_kind": "search", "search_term": "tee"}, "search_has_results"),
        ("web_event", {"event_kind": "search", "result_count": 0}, "search_has_term"),
        ("web_event", {"search_term": "tee"}, "search_has_term"),
        (
            "web_event",
            {"event_kind": "search", "result_count": 0, "search_term": "Tee"},
            "term_is_normalized",
        ),
        (
            "web_event",
            {"event_kind": "search", "result_count": 0, "search_term": ""},
            "term_is_normalized",
        ),
        (
            "web_event",
            {"event_kind": "search", "result_count": -1, "search_term": "tee"},
            "amounts_not_negative",
        ),
        ("web_event", {"event_kind": "product_view"}, "view_is_of_a_variant"),
        ("web_event", {"event_kind": "add_to_cart"}, "view_is_of_a_variant"),
        ("web_event", {"event_kind": "sneeze"}, "kind_known"),
        ("web_event", {"device_kind": "watch"}, "device_kind_known"),
        ("web_event", {"session_key": " "}, "session_not_blank"),
        ("web_event", {"page_path": "cart"}, "path_begins_with_slash"),
        ("web_event", {"payload": "[]"}, "json_object"),
        ("store_traffic_count", {"entries": -1}, "entries_not_negative"),
        ("store_traffic_count", {"exits": -1}, "exits_not_negative"),
        ("store_traffic_count", {"staff_on_floor": -1}, "others_not_negative"),
        ("store_traffic_count", {"entries": 2, "groups_count": 3}, "groups_within_entries"),
        ("store_traffic_count", {"temperature_c": 99}, "temperature_bounded"),
        ("store_traffic_count", {"counted_at": "2026-05-04 15:07+00"}, "each_quarter_hour"),
        ("sales_day_summary", {"tax_total": -1}, "not_negative"),
        ("sales_day_summary", {"gross_sales": 5, "discount_total": 6}, "discount_within_gross"),
        ("variant_sales_day", {"hours_out_of_stock": 25}, "hours_out_of_stock_bounded"),
        ("variant_sales_day", {"units_sold": -1}, "not_negative"),
        ("variant_sales_day", {"gross_sales": 5, "net_sales": 6}, "net_within_gross"),
        ("variant_sales_day", {"units_sold": 1, "promo_units": 2}, "promo_within_sold"),
        ("variant_sales_day", {"lost_units_estimate": 1}, "loses_only_when_out"),
        ("inventory_day_snapshot", {"committed_qty": -1}, "not_negative"),
        ("inventory_day_snapshot", {"on_hand_qty": 1, "available_qty": 2}, "promises_what_is"),
        ("demand_forecast", {"low_qty": 11}, "low_qty_in_order"),
        ("demand_forecast", {"high_qty": 9}, "forecast_qty_in_order"),
        ("demand_forecast", {"baseline_qty": 9}, "adds_up"),
        ("demand_forecast", {"baseline_qty": 6, "promo_uplift_qty": 4}, "uplift_has_promotion"),
        ("demand_forecast", {"actual_qty": -1}, "not_negative"),
        ("demand_forecast", {"week_start": "2026-05-05"}, "week_starts_on_monday"),
        ("demand_forecast", {"drivers_doc": "{}"}, "json_array"),
        ("rfm_snapshot", {"r_score": 6}, "scores_bounded"),
        ("rfm_snapshot", {"m_score": 0}, "scores_bounded"),
        ("rfm_snapshot", {"churn_probability": 1.1}, "churn_probability_bounded"),
        ("rfm_snapshot", {"frequency_count": 0}, "not_negative"),
        ("rfm_snapshot", {"rfm_segment": "vip"}, "rfm_segment_known"),
        ("rfm_snapshot", {"next_purchase_on": "2020-01-01"}, "next_purchase_ahead"),
        ("shrink_event", {"cause": "damage"}, "known_cause_has_source"),
        ("shrink_event", {"recovered_value": 21}, "recovers_at_most_retail"),
        ("shrink_event", {"units_lost": 0, "cost_value": 0}, "loses_something"),
        ("shrink_event", {"units_lost": -1, "cost_value": 8}, "loses_something"),
        ("basket_affinity", {"lift": 0}, "lift_positive"),
        ("basket_affinity", {"confidence": 1.1}, "confidence_bounded"),
        ("basket_affinity", {"pair_count": 11}, "pairs_within_baskets"),
        ("basket_affinity", {"window_end": "2026-05-01"}, "window_in_order"),
        ("merchandise_plan", {"plan_month": "2026-05-02"}, "month_starts_on_first"),
        ("merchandise_plan", {"version_no": 0}, "version_positive"),
        ("merchandise_plan", {"planned_sales": -1}, "not_negative"),
        ("merchandise_plan", {"planned_margin_pct": 101}, "margin_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    if table == "basket_affinity":
        columns = {**pair(app), **columns}
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, f"ret.{table}", **columns)


def pair(connection: Connection) -> dict[str, UUID]:
    """Two products in the order of their keys."""
    left, right = sorted(row(connection, "ret.product") for _ in range(2))
    return {"left_product_id": left, "right_product_id": right}


def test_a_pair_stands_once_in_the_order_of_its_keys(app: Connection) -> None:
    of = pair(app)
    row(app, "ret.basket_affinity", **of)
    with pytest.raises(errors.UniqueViolation), app.transaction():
        row(app, "ret.basket_affinity", **of)
    turned = {"left_product_id": of["right_product_id"], "right_product_id": of["left_product_id"]}
    with pytest.raises(errors.CheckViolation, match="pair_is_in_order"):
        row(app, "ret.basket_affinity", **turned)


def test_a_search_that_finds_nothing_is_kept(app: Connection) -> None:
    row(app, "ret.web_event", event_kind="search", search_term="tee", result_count=0)
    assert one(app, "SELECT result_count FROM ret.web_event") == 0


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("web_event", "page_path"),
        ("store_traffic_count", "sensor_code"),
        ("inventory_day_snapshot", "unit_cost"),
    ],
)
def test_what_was_seen_stands(app: Connection, table: str, column: str) -> None:
    row(app, f"ret.{table}")
    change = sql.SQL("UPDATE {table} SET {column} = {column}").format(
        table=sql.Identifier("ret", table), column=sql.Identifier(column)
    )
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute(change)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute(change)


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-05-04 05:00+00", "2026-05-04"),
        ("2026-05-05 04:59+00", "2026-05-04"),
        ("2026-05-04 04:59+00", None),
        ("2026-05-05 05:00+00", None),
    ],
)
def test_a_day_is_the_day_of_the_place(
    app: Connection, shop: Shop, at: str, day: str | None
) -> None:
    sale(app, shop, at=at)
    assert summarize(app) == (1 if day else 0)
    found = app.execute("SELECT business_date::text FROM ret.sales_day_summary").fetchall()
    assert found == ([(day,)] if day else [])


def sold(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT units, promo_units, gross, discounts, markdown, taxes, cost"
        " FROM ret.sold_lines('2026-05-01', '2026-06-01') ORDER BY gross"
    ).fetchall()


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        ({}, (1, 0, 10, 0, 0, 0, 4)),
        ({"quantity": 3}, (3, 0, 30, 0, 0, 0, 12)),
        ({"discount_amount": 2}, (1, 1, 10, 2, 0, 0, 4)),
        ({"unit_price": 7, "price_source": "markdown"}, (1, 0, 7, 0, 3, 0, 4)),
        ({"unit_price": 7}, (1, 0, 7, 0, 0, 0, 4)),
        ({"quantity": 4, "discount_amount": 8, "cancelled_qty": 1}, (3, 3, 30, 6, 0, 0, 12)),
    ],
    ids=["plain", "three", "discount", "markdown", "cheaper", "one of four called off"],
)
def test_a_line_counts_for_what_was_sold(
    app: Connection, shop: Shop, line: dict[str, Any], figures: tuple[int, ...]
) -> None:
    sale(app, shop, line)
    assert sold(app) == [tuple(map(Decimal, figures))]


def test_what_was_called_off_entirely_is_not_sold(app: Connection, shop: Shop) -> None:
    sale(app, shop, {"quantity": 2, "cancelled_qty": 2})
    assert sold(app) == []


@pytest.mark.parametrize("state", ["pending", "cancelled"])
def test_what_is_no_sale_does_not_count(app: Connection, shop: Shop, state: str) -> None:
    order = imported(
        app,
        "ret.sales_order",
        state=state,
        placed_at=NOON,
        sold_location_id=shop.store,
        sales_channel_id=shop.till,
    )
    app.execute("RESET ROLE")
    add_line(app, shop, order)
    become_app(app, one(app, "SELECT tenant_mgmt.current_business_id()"))
    assert sold(app) == []


def test_tax_in_the_price_is_not_sold(app: Connection, shop: Shop) -> None:
    order = sale(app, shop, {"quantity": 2, "unit_price": 12, "discount_amount": 12})
    line = one(app, "SELECT sales_order_line_id FROM ret.sales_order_line")
    row(
        app,
        "ret.order_tax_line",
        sales_order_id=order,
        sales_order_line_id=line,
        tax_target="line",
        tax_amount=2,
        is_inclusive=True,
    )
    assert sold(app) == [tuple(map(Decimal, (2, 2, 20, 10, 0, 2, 8)))]


def test_tax_on_top_is_told_apart(app: Connection, shop: Shop) -> None:
    order = sale(app, shop)
    line = one(app, "SELECT sales_order_line_id FROM ret.sales_order_line")
    row(
        app,
        "ret.order_tax_line",
        sales_order_id=order,
        sales_order_line_id=line,
        tax_target="line",
        tax_amount=1,
    )
    assert sold(app) == [tuple(map(Decimal, (1, 0, 10, 0, 0, 1, 4)))]


def test_a_bundle_is_sold_by_its_components(app: Connection, shop: Shop) -> None:
    order = sale(app, shop, {"unit_price": 0, "unit_cost": 0})
    bundle = one(app, "SELECT sales_order_line_id FROM ret.sales_order_line")
    add_line(app, shop, order, bundle_parent_line_id=bundle, unit_price=6)
    add_line(app, shop, order, bundle_parent_line_id=bundle, unit_price=3)
    assert [gross for (_, _, gross, *_) in sold(app)] == [3, 6]


@pytest.mark.parametrize("is_routed", [True, False])
def test_what_was_shipped_counts_where_it_left(
    app: Connection, shop: Shop, is_routed: bool
) -> None:
    depot = row(app, "ret.location", location_kind="warehouse", opened_on="2020-01-01")
    order = sale(app, shop, order_kind="web", sold_location_id=None)
    if is_routed:
        row(app, "ret.fulfilment_order", sales_order_id=order, location_id=shop.store)
    place = one(app, "SELECT location_id FROM ret.sold_lines('2026-05-01', '2026-06-01')")
    assert place == (shop.store if is_routed else depot)


def test_a_day_is_summed(app: Connection, shop: Shop) -> None:
    sale(app, shop, {"quantity": 2}, {"discount_amount": 1})
    sale(app, shop, at="2026-05-04 20:00+00")
    assert summarize(app) == 1
    found = one(
        app,
        "SELECT gross_sales, discount_total, returns_total, net_sales, cost_of_goods,"
        " margin_amount, order_count, units_sold, average_basket, conversion_pct"
        " FROM ret.sales_day_summary",
    )
    assert found == (40, 1, 0, 39, 16, 23, 2, 4, Decimal("19.50"), None)
    assert differences(app) == []


def test_a_variant_is_summed_like_the_day(app: Connection, shop: Shop) -> None:
    sale(app, shop, {"quantity": 2}, {"discount_amount": 1})
    summarize(app)
    found = one(
        app,
        "SELECT units_sold, promo_units, gross_sales, discount_amount, net_sales, cost_of_goods,"
        " was_in_stock FROM ret.variant_sales_day",
    )
    assert found == (3, 1, 30, 1, 29, 12, True)


@pytest.mark.parametrize(("disposition", "cost"), [("restock", 0), ("outlet", 4)])
def test_what_comes_back_counts_on_the_day_it_does(
    app: Connection, shop: Shop, disposition: str, cost: int
) -> None:
    order = sale(app, shop, {"quantity": 2, "fulfilled_qty": 2}, at="2026-05-03 17:00+00")
    take_back(app, shop, order, disposition=disposition)
    assert summarize(app) == 1
    found = one(
        app,
        "SELECT gross_sales, returns_total, net_sales, cost_of_goods, order_count"
        " FROM ret.sales_day_summary",
    )
    assert found == (0, 10, -10, cost - 4, 0)
    of_variant = "SELECT units_sold, units_returned, net_sales FROM ret.variant_sales_day"
    assert one(app, of_variant) == (0, 1, -10)
    one(app, "SELECT ret.summarize_sales('2026-05-03', '2026-05-04')")
    one(app, "SELECT ret.summarize_variants('2026-05-03', '2026-05-04')")
    assert differences(app) == []


def test_summing_a_day_again_changes_nothing(app: Connection, shop: Shop) -> None:
    sale(app, shop)
    rows = (
        "SELECT md5(string_agg(s::text, '' ORDER BY s::text)) FROM (SELECT to_jsonb(d) AS s FROM"
        " ret.sales_day_summary AS d UNION ALL SELECT to_jsonb(v) FROM ret.variant_sales_day AS v)"
        " AS n"
    )
    summarize(app)
    before = one(app, rows)
    summarize(app)
    assert one(app, rows) == before


@pytest.mark.parametrize(
    "figure",
    [
        "gross_sales",
        "discount_total",
        "returns_total",
        "cost_of_goods",
        "tax_total",
        "order_count",
        "units_sold",
        "traffic_count",
    ],
)
def test_a_day_that_does_not_agree_is_named(app: Connection, shop: Shop, figure: str) -> None:
    sale(app, shop)
    summarize(app)
    change = sql.SQL("UPDATE ret.sales_day_summary SET {f} = {f} + 1")
    app.execute(change.format(f=sql.Identifier(figure)))
    assert differences(app) == [figure]


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        ("gross_sales = gross_sales + 1", ["variant gross_sales"]),
        ("net_sales = net_sales - 1", ["variant net_sales"]),
        ("units_sold = units_sold + 1", ["variant units_sold"]),
    ],
)
def test_a_variant_that_does_not_agree_is_named(
    app: Connection, shop: Shop, change: str, figures: list[str]
) -> None:
    sale(app, shop)
    summarize(app)
    app.execute(f"UPDATE ret.variant_sales_day SET {change}".encode())
    assert differences(app) == figures


def test_what_a_till_brings_late_is_named_until_the_day_is_summed_anew(
    app: Connection, shop: Shop
) -> None:
    sale(app, shop)
    summarize(app)
    sale(app, shop)
    assert {"gross_sales", "order_count", "variant units_sold"} <= set(differences(app))
    summarize(app)
    assert differences(app) == []


def test_a_day_that_was_never_summed_is_named(app: Connection, shop: Shop) -> None:
    sale(app, shop)
    assert "gross_sales" in differences(app)


def test_doors_and_tills_make_the_conversion(app: Connection, shop: Shop) -> None:
    for hour, people in (("15:00", 6), ("15:15", 2)):
        row(
            app,
            "ret.store_traffic_count",
            location_id=shop.store,
            counted_at=f"2026-05-04 {hour}+00",
            entries=people,
        )
    sale(app, shop)
    web = row(app, "ret.sales_channel", channel_kind="web", channel_code="WEB")
    sale(app, shop, sales_channel_id=web, order_kind="pickup")
    summarize(app)
    found = app.execute(
        "SELECT c.channel_code, s.traffic_count, s.conversion_pct FROM ret.sales_day_summary AS s"
        " JOIN ret.sales_channel AS c USING (business_id, sales_channel_id) ORDER BY 1"
    ).fetchall()
    assert found == [("TILL", 8, Decimal("12.5")), ("WEB", 0, None)]


def test_a_day_with_people_and_no_sale_is_a_day(app: Connection, shop: Shop) -> None:
    row(app, "ret.store_traffic_count", location_id=shop.store, entries=5)
    assert summarize(app) == 1
    assert one(app, "SELECT order_count, conversion_pct FROM ret.sales_day_summary") == (0, 0)


def test_a_quarter_hour_of_a_door_is_counted_once(app: Connection, shop: Shop) -> None:
    row(app, "ret.store_traffic_count", location_id=shop.store, sensor_code="D")
    with pytest.raises(errors.UniqueViolation):
        row(app, "ret.store_traffic_count", location_id=shop.store, sensor_code="D")


def test_a_day_is_compared_with_the_same_weekday_of_the_year_before(
    app: Connection, shop: Shop
) -> None:
    sale(app, shop, {"quantity": 3}, at="2025-05-05 17:00+00")
    one(app, "SELECT ret.summarize_sales('2025-05-05', '2025-05-06')")
    sale(app, shop)
    summarize(app)
    found = app.execute(
        "SELECT comparable_net_sales FROM ret.sales_day_summary ORDER BY business_date"
    ).fetchall()
    assert found == [(None,), (Decimal(30),)]


def run_out(connection: Connection, shop: Shop) -> None:
    """Five pieces come in April and are sold at noon in Chicago on May 4."""
    move(
        connection,
        shop.store,
        shop.variant,
        "receipt",
        "none",
        "available",
        5,
        occurred_at="2026-04-01 12:00+00",
    )
    move(connection, shop.store, shop.variant, "sale", "available", "none", 5, occurred_at=NOON)


def stockouts(connection: Connection, moment: str = "2026-06-01") -> list[Any]:
    return connection.execute(
        "SELECT business_date::text, hours"
        " FROM ret.stockout_hours('2026-05-03', '2026-05-07', %s) ORDER BY 1",
        [moment],
    ).fetchall()


class TestStockouts:
    def test_hours_are_those_of_the_day_until_more_comes(self, app: Connection, shop: Shop) -> None:
        run_out(app, shop)
        more = "2026-05-05 11:00+00"
        move(app, shop.store, shop.variant, "receipt", "none", "available", occurred_at=more)
        assert stockouts(app) == [("2026-05-04", 12), ("2026-05-05", 6)]

    def test_the_future_is_not_out_of_stock(self, app: Connection, shop: Shop) -> None:
        run_out(app, shop)
        assert stockouts(app, "2026-05-04 20:00+00") == [("2026-05-04", 3)]

    def test_what_is_only_promised_cannot_be_sold(self, app: Connection, shop: Shop) -> None:
        at = "2026-05-04 08:00+00"
        move(app, shop.store, shop.variant, "receipt", "none", "available", 2, occurred_at=at)
        move(app, shop.store, shop.variant, "sale", "available", "committed", 2, occurred_at=NOON)
        assert stockouts(app, "2026-05-05 00:00+00") == [("2026-05-04", 7)]

    def test_what_is_no_longer_carried_is_not_missed(self, app: Connection, shop: Shop) -> None:
        run_out(app, shop)
        app.execute("UPDATE ret.product_variant SET status = 'discontinued'")
        assert stockouts(app) == []

    def test_lost_is_what_four_weeks_sold_for_the_hours(self, app: Connection, shop: Shop) -> None:
        sale(app, shop, {"quantity": 28}, at="2026-04-20 17:00+00")
        run_out(app, shop)
        one(app, "SELECT ret.summarize_variants('2026-05-04', '2026-05-06', '2026-06-01')")
        found = app.execute(
            "SELECT units_sold, hours_out_of_stock, lost_units_estimate, was_in_stock"
            " FROM ret.variant_sales_day ORDER BY business_date"
        ).fetchall()
        assert found == [(0, 12, Decimal("0.5"), True), (0, 24, 1, False)]

    def test_what_nobody_asks_for_loses_nothing(self, app: Connection, shop: Shop) -> None:
        run_out(app, shop)
        made = one(app, "SELECT ret.summarize_variants('2026-05-04', '2026-05-06', '2026-06-01')")
        assert made == 0

    @pytest.mark.parametrize(
        "cause",
        [
            "stock_was_not_there",
            "supplier_is_late",
            "ordered_too_late",
            "demand_above_forecast",
            "no_rule",
            "not_reordered",
        ],
    )
    def test_a_stockout_has_a_cause(self, app: Connection, shop: Shop, cause: str) -> None:
        row(
            app,
            "ret.variant_sales_day",
            location_id=shop.store,
            product_variant_id=shop.variant,
            business_date="2026-05-04",
            hours_out_of_stock=12,
            lost_units_estimate=2,
        )
        of = {"location_id": shop.store, "product_variant_id": shop.variant}
        if cause != "no_rule":
            row(app, "ret.replenishment_rule", supplier_id=row(app, "ret.supplier"), **of)
        if cause == "stock_was_not_there":
            move(app, shop.store, shop.variant, "receipt", "none", "available", occurred_at=NOON)
            move(app, shop.store, shop.variant, "count", "available", "none", occurred_at=NOON)
        elif cause in ("supplier_is_late", "ordered_too_late"):
            due = "2026-05-01" if cause == "supplier_is_late" else "2026-05-20"
            order = imported(
                app,
                "ret.purchase_order",
                location_id=shop.store,
                state="sent",
                ordered_at="2026-04-01",
                approved_by_user_id=row(app, "user_mgmt.user_account"),
                ship_window_end=due,
            )
            imported(
                app,
                "ret.purchase_order_line",
                purchase_order_id=order,
                supplier_product_id=row(
                    app, "ret.supplier_product", product_variant_id=shop.variant
                ),
                ordered_qty=6,
            )
        elif cause == "demand_above_forecast":
            row(app, "ret.demand_forecast", actual_qty=20, **of)
        found = one(
            app,
            "SELECT cause, days, hours, lost_units, lost_sales"
            " FROM ret.stockout_causes('2026-05-01', '2026-06-01')",
        )
        assert found == (cause, 1, 12, 2, 20)


class TestSnapshots:
    @pytest.fixture
    def stocked(self, app: Connection, shop: Shop) -> Shop:
        for at, quantity in (("2026-04-01", 6), ("2026-04-21", 4)):
            move(
                app,
                shop.store,
                shop.variant,
                "receipt",
                "none",
                "available",
                quantity,
                occurred_at=f"{at} 15:00+00",
            )
        for at, quantity in (("2026-04-24", 3), ("2026-05-01", 4)):
            move(
                app,
                shop.store,
                shop.variant,
                "sale",
                "available",
                "none",
                quantity,
                occurred_at=f"{at} 15:00+00",
            )
        return shop

    def take(self, connection: Connection, day: str) -> Any:
        return one(connection, "SELECT ret.snapshot_inventory(%s)", day)

    def test_closing_stock_is_what_the_ledger_says(self, app: Connection, stocked: Shop) -> None:
        assert self.take(app, "2026-05-04") == 1
        found = one(
            app,
            "SELECT on_hand_qty, available_qty, unit_cost, stock_value, retail_value,"
            " days_since_sale, days_of_cover, age_days FROM ret.inventory_day_snapshot",
        )
        # Three of the four of April 21 are left: 13 days old; 7 were sold in four weeks.
        assert found == (3, 3, 2, 6, 30, 3, 12, 13)

    @pytest.mark.parametrize(
        ("day", "on_hand", "age"), [("2026-04-20", 6, 19), ("2026-04-24", 7, 23)]
    )
    def test_an_earlier_day_has_what_was_there(
        self, app: Connection, stocked: Shop, day: str, on_hand: int, age: int
    ) -> None:
        self.take(app, day)
        found = one(app, "SELECT on_hand_qty, age_days FROM ret.inventory_day_snapshot")
        assert found == (on_hand, age)

    def test_what_is_promised_and_on_its_way_is_told_apart(
        self, app: Connection, stocked: Shop
    ) -> None:
        to = (stocked.store, stocked.variant)
        move(app, *to, "sale", "available", "committed", 2, occurred_at=NOON)
        move(app, *to, "receipt", "none", "incoming", 9, occurred_at=NOON)
        self.take(app, "2026-05-04")
        found = one(
            app,
            "SELECT on_hand_qty, available_qty, committed_qty, in_transit_qty"
            " FROM ret.inventory_day_snapshot",
        )
        assert found == (3, 1, 2, 9)

    def test_goods_on_consignment_are_not_the_retailers(self, app: Connection, shop: Shop) -> None:
        agreement = row(app, "ret.consignment_agreement")
        move(
            app,
            shop.store,
            shop.variant,
            "consignment_in",
            "none",
            "available",
            consignment_agreement_id=agreement,
            occurred_at=NOON,
        )
        assert self.take(app, "2026-05-04") == 0

    def test_a_snapshot_is_taken_once(self, app: Connection, stocked: Shop) -> None:
        assert self.take(app, "2026-05-04") == 1
        assert self.take(app, "2026-05-04") == 0

    def test_what_is_posted_late_is_named(self, app: Connection, stocked: Shop) -> None:
        self.take(app, "2026-05-04")
        proof = "SELECT said, found FROM ret.inventory_snapshot_differences('2026-05-04')"
        assert app.execute(proof.encode()).fetchall() == []
        to = (stocked.store, stocked.variant)
        move(app, *to, "sale", "available", "none", occurred_at="2026-05-03 15:00+00")
        assert app.execute(proof.encode()).fetchall() == [(3, 2)]


def test_another_tenant_sees_nothing_of_it(app: Connection, shop: Shop) -> None:
    sale(app, shop)
    summarize(app)
    app.execute("RESET ROLE")
    become_app(app, add_tenant(app, "other"))
    assert sold(app) == []
    assert one(app, "SELECT count(*) FROM ret.variant_sales_day") == 0
    assert summarize(app) == 0


def test_those_who_sum_a_day_at_once_follow_each_other(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        sale(connection, open_shop(connection))
    assert at_once(target, tenant, 4, lambda c, _: summarize(c)) == [1, 1, 1, 1]
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert one(connection, "SELECT count(*) FROM ret.variant_sales_day") == 1
        assert differences(connection) == []
