"""A line comes to what its figures come to, and goes through its states."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_hs_organization import one

PART: dict[str, set[str]] = {
    "quoted": {"needed", "cancelled"},
    "needed": {"reserved", "ordered", "received", "cancelled"},
    "reserved": {"issued", "needed", "cancelled"},
    "ordered": {"received", "needed", "cancelled"},
    "received": {"issued", "returned"},
    "issued": {"installed", "returned"},
    "installed": {"returned"},
    "returned": set(),
    "cancelled": set(),
}
SUBLET: dict[str, set[str]] = {
    "quoted": {"sent", "cancelled"},
    "sent": {"returned", "cancelled"},
    "returned": {"billed"},
    "billed": set(),
    "cancelled": set(),
}
SENT = "2026-05-04 11:00+00"
PRICED = "SELECT labor_total, parts_total, sublet_total, overlap_hours FROM auto.price_job(%s)"


def test_lines_come_to_their_figures(app: Connection) -> None:
    row(app, "auto.labor_line", sold_hours=1.5, rate_amount=100, discount_pct=10)
    row(app, "auto.part_line", qty=3, unit_price=9.99, discount_pct=50)
    assert one(app, "SELECT line_total FROM auto.labor_line") == 135
    assert one(app, "SELECT line_total = 14.99 FROM auto.part_line")


@pytest.mark.parametrize(
    ("payer", "sold"),
    [("customer", False), ("fleet", False), ("internal", True), ("goodwill", True)],
)
def test_work_sent_out_is_not_sold_below_cost(app: Connection, payer: str, sold: bool) -> None:
    job = row(app, "auto.repair_job", payer_kind=payer)
    if sold:
        assert row(app, "auto.sublet_line", repair_job_id=job, cost_amount=50, price_amount=49)
    else:
        with pytest.raises(errors.CheckViolation, match=r"costs 50.00 and would be sold for 49.00"):
            row(app, "auto.sublet_line", repair_job_id=job, cost_amount=50, price_amount=49)


def refused(app: Connection, statement: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        app.execute(statement.encode())


@pytest.mark.parametrize(("before", "after"), list(permutations(PART, 2)))
def test_a_part_line_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    imported(app, "auto.part_line", status=before)
    change = f"UPDATE auto.part_line SET status = '{after}'"
    if after in PART[before]:
        app.execute(change.encode())
    else:
        refused(app, change)


@pytest.mark.parametrize(("before", "after"), list(permutations(SUBLET, 2)))
def test_a_sublet_line_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    imported(app, "auto.sublet_line", status=before, sent_at=SENT, returned_at=SENT)
    change = f"UPDATE auto.sublet_line SET status = '{after}'"
    if after in SUBLET[before]:
        app.execute(change.encode())
    else:
        refused(app, change)


class Bench:
    """A job of a known build at 100 an hour, whose payer is given."""

    def __init__(self, app: Connection, payer: str = "customer", **order: Any) -> None:
        self.app = app
        self.build = row(app, "auto.vehicle_configuration", model_year=2020)
        car = row(app, "auto.vehicle", vehicle_configuration_id=self.build)
        self.shop = row(app, "auto.shop")
        visit = imported(app, "auto.repair_order", vehicle_id=car, shop_id=self.shop,
                         status="diagnosis", **order)  # fmt: skip
        rate = row(app, "auto.labor_rate", shop_id=self.shop, hourly_rate_amount=100)
        self.job = row(app, "auto.repair_job", repair_order_id=visit, payer_kind=payer,
                       labor_rate_id=rate)  # fmt: skip

    def work(self, hours: float, source: str = "guide_a", **time: Any) -> UUID:
        operation = row(self.app, "auto.labor_operation")
        row(self.app, "auto.labor_time", labor_operation_id=operation, time_source=source,
            vehicle_configuration_id=self.build, book_hours=hours, **time)  # fmt: skip
        row(self.app, "auto.labor_line", repair_job_id=self.job, labor_operation_id=operation,
            hours_source="guide", sold_hours=9, rate_amount=9)  # fmt: skip
        return operation

    def overlap(self, first: UUID, second: UUID, kind: str, **given: Any) -> None:
        row(self.app, "auto.labor_overlap", primary_labor_operation_id=first,
            overlapping_labor_operation_id=second, overlap_kind=kind, **given)  # fmt: skip

    def part(self, cost: float, **given: Any) -> None:
        line = {"unit_cost": cost, "unit_price": 1, "status": "needed"} | given
        row(self.app, "auto.part_line", repair_job_id=self.job, **line)

    def matrix(self, payer: str = "customer", **given: Any) -> None:
        row(self.app, "auto.price_matrix", shop_id=self.shop, matrix_kind="parts",
            payer_kind=payer, effective_on="2020-01-01", **given)  # fmt: skip

    def priced(self) -> tuple[float, ...]:
        found = self.app.execute(PRICED, [self.job]).fetchone()
        assert found
        return tuple(float(figure) for figure in found)


def test_labor_is_sold_by_the_book_time_of_the_build(app: Connection) -> None:
    bench = Bench(app)
    bench.work(1.5)
    assert bench.priced() == (150, 0, 0, 0)


def test_hours_that_an_estimator_wrote_stand(app: Connection) -> None:
    bench = Bench(app)
    bench.work(1.5)
    app.execute("UPDATE auto.labor_line SET hours_source = 'override'")
    assert bench.priced() == (81, 0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "given", "labor", "overlap"),
    [
        ("included", {}, 200, 1),
        ("deduct", {"deduct_hours": 0.4}, 260, 0.4),
        ("deduct", {"deduct_hours": 5}, 200, 1),
        ("deduct", {"deduct_hours": 0.8, "max_deduct_pct": 50}, 250, 0.5),
        ("alternative", {}, 300, 0),
    ],
)
def test_what_another_operation_did_is_deducted(
    app: Connection, kind: str, given: dict[str, Any], labor: float, overlap: float
) -> None:
    bench = Bench(app)
    bench.overlap(bench.work(2), bench.work(1), kind, **given)
    assert bench.priced() == (labor, 0, 0, overlap)


@pytest.mark.parametrize(("payer", "labor"), [("customer", 200), ("warranty", 120)])
def test_a_maker_pays_warranty_hours(app: Connection, payer: str, labor: float) -> None:
    bench = Bench(app, payer)
    bench.work(2, warranty_hours=1.2)
    assert bench.priced() == (labor, 0, 0, 0)


@pytest.mark.parametrize(
    ("rounding", "price"), [("none", 41.1), ("to_dollar", 42), ("to_49_99", 41.49)]
)
def test_parts_are_sold_by_the_matrix(app: Connection, rounding: str, price: float) -> None:
    bench = Bench(app)
    bench.matrix(min_cost=0, max_cost=50, multiplier=2, rounding=rounding)
    bench.matrix(min_cost=50, multiplier=9)
    bench.matrix("fleet", min_cost=0, multiplier=7)
    bench.part(20.55)
    assert bench.priced() == (0, price, 0, 0)


def test_what_the_customer_brings_and_what_is_on_its_way_keep_their_price(app: Connection) -> None:
    bench = Bench(app)
    bench.matrix(min_cost=0, multiplier=2)
    bench.part(0, unit_price=0, part_condition="customer_supplied")
    bench.part(20)
    app.execute("UPDATE auto.part_line SET status = 'ordered' WHERE part_condition = 'new'")
    assert bench.priced() == (0, 1, 0, 0)


def fleet_bench(app: Connection, kind: str, payer: str = "fleet", **given: Any) -> Bench:
    fleet = row(app, "auto.fleet_account", status="active")
    row(app, "auto.fleet_price_agreement", fleet_account_id=fleet, agreement_kind=kind,
        effective_on="2020-01-01", **{"cap_amount": None, **given})  # fmt: skip
    bench = Bench(app, payer, fleet_account_id=fleet)
    bench.work(2)
    bench.part(100)
    return bench


@pytest.mark.parametrize(
    ("kind", "given", "labor", "parts"),
    [
        ("labor_discount", {"adjust_pct": -10}, 180, 1),
        ("parts_discount", {"adjust_pct": -50}, 200, 0.5),
        ("parts_cost_plus", {"adjust_pct": 25}, 200, 125),
        ("labor_discount", {"adjust_pct": -10, "ends_on": "2020-02-01"}, 200, 1),
        ("labor_discount", {"adjust_pct": -10, "duty_class": "heavy"}, 200, 1),
        ("labor_discount", {"adjust_pct": -10, "max_vehicle_age_years": 2}, 200, 1),
    ],
)
def test_a_fleet_pays_what_was_agreed(
    app: Connection, kind: str, given: dict[str, Any], labor: float, parts: float
) -> None:
    assert fleet_bench(app, kind, **given).priced() == (labor, parts, 0, 0)


def test_an_agreement_is_for_what_the_fleet_pays(app: Connection) -> None:
    assert fleet_bench(app, "labor_discount", "customer", adjust_pct=-10).priced()[0] == 200


@pytest.mark.parametrize(("cap", "off"), [(150, 51), (500, 0)])
def test_what_lies_over_the_cap_is_taken_off(app: Connection, cap: int, off: int) -> None:
    bench = fleet_bench(app, "price_cap", cap_amount=cap)
    bench.priced()
    assert one(app, "SELECT discount_amount FROM auto.repair_job") == off


def test_a_discount_given_by_hand_stands(app: Connection) -> None:
    bench = Bench(app)
    bench.work(2)
    bench.priced()
    app.execute("UPDATE auto.repair_job SET discount_amount = 15")
    bench.priced()
    assert one(app, "SELECT discount_amount FROM auto.repair_job") == 15


def test_there_must_be_a_job(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no job"):
        app.execute(PRICED, [tenant])


def test_orders_prove_their_totals(app: Connection) -> None:
    bench = Bench(app)
    bench.work(2)
    bench.part(100)
    bench.priced()
    proven = "SELECT figure, said::float, found::float FROM auto.order_differences()"
    assert app.execute(proven.encode()).fetchall() == []
    app.execute("RESET ROLE")
    app.execute("SET LOCAL session_replication_role = replica")
    app.execute("UPDATE auto.labor_line SET sold_hours = 3")
    assert app.execute(proven.encode()).fetchall() == [
        ("labor_total", 200, 300),
        ("grand_total", 201, 301),
    ]
