"""A day is closed from what was invoiced, clocked and flagged, as often as it is asked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_hs_organization import one

DAY = "2026-05-04"
CLOSE = "SELECT * FROM auto.close_shop_day(%s, %s)"


@pytest.fixture
def shop(app: Connection) -> UUID:
    return row(app, "auto.shop", timezone="America/Chicago")


def closed(app: Connection, shop: UUID, *columns: str) -> tuple[Any, ...]:
    app.execute(CLOSE, [shop, DAY])
    found = f"SELECT {', '.join(columns)} FROM auto.shop_day_summary"
    (only,) = app.execute(found.encode()).fetchall()
    return tuple(only)


def invoice(app: Connection, shop: UUID, at: str = f"{DAY} 16:00+00") -> UUID:
    """An issued invoice without lines of an order of its own."""
    order = imported(app, "auto.repair_order", shop_id=shop)
    return imported(app, "auto.invoice", repair_order_id=order, status="issued",
                    issued_at=at, due_on=DAY)  # fmt: skip


def line(app: Connection, bill: UUID, kind: str, price: int, cost: int = 0, **given: Any) -> UUID:
    """A line of an invoice with the line of a job that it bills."""
    source = {"labor": "labor_line", "part": "part_line", "sublet": "sublet_line"}.get(kind)
    if source and f"{source}_id" not in given:
        given[f"{source}_id"] = imported(app, f"auto.{source}")
    return imported(app, "auto.invoice_line", invoice_id=bill, line_kind=kind, unit_price=price,
                    cost_amount=cost, **given)  # fmt: skip


def test_sales_are_told_by_kind(app: Connection, shop: UUID) -> None:
    sold = imported(app, "auto.part_line")
    imported(app, "auto.tire", sold_part_line_id=sold)
    first, second = invoice(app, shop), invoice(app, shop)
    line(app, first, "labor", 300)
    line(app, first, "part", 200, 120)
    line(app, second, "part", 150, 90, part_line_id=sold)
    line(app, second, "sublet", 80, 50)
    line(app, second, "fee", 10)
    assert closed(app, shop, "car_count", "labor_sales_amount", "parts_sales_amount",
                  "tire_sales_amount", "sublet_sales_amount", "gross_profit_amount",
                  "average_order_amount") == (2, 300, 200, 150, 80, 470, 365)  # fmt: skip


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        ("2026-05-04 04:59+00", 0),
        ("2026-05-04 05:00+00", 1),
        ("2026-05-05 04:59+00", 1),
        ("2026-05-05 05:00+00", 0),
    ],
)
def test_a_day_is_that_of_the_shop(app: Connection, shop: UUID, at: str, counted: int) -> None:
    line(app, invoice(app, shop, at), "labor", 100)
    assert closed(app, shop, "car_count") == (counted,)


def test_a_void_invoice_is_no_sale(app: Connection, shop: UUID) -> None:
    bill = invoice(app, shop)
    line(app, bill, "labor", 100)
    app.execute("RESET ROLE")
    app.execute("UPDATE auto.invoice SET status = 'void', void_reason = 'twice'")
    app.execute("SET LOCAL ROLE app_user")
    assert closed(app, shop, "car_count", "labor_sales_amount") == (0, 0)


def worked(app: Connection, shop: UUID) -> UUID:
    """Eight hours there, six of them on a job, one waiting; seven and a half flagged."""
    person = row(app, "auto.technician", shop_id=shop, hourly_cost_amount=40)
    imported(app, "auto.technician_shift", technician_id=person, shop_id=shop, shift_on=DAY,
             starts_at=f"{DAY} 13:00+00", ends_at=f"{DAY} 21:00+00", productive_hours=7,
             attendance_in_at=f"{DAY} 13:00+00", attendance_out_at=f"{DAY} 21:00+00")  # fmt: skip
    for kind, begins, ends in [("job", 13, 19), ("waiting", 19, 20)]:
        imported(app, "auto.labor_clock_entry", technician_id=person, clock_kind=kind,
                 repair_job_id=imported(app, "auto.repair_job"),
                 clocked_in_at=f"{DAY} {begins}:00+00",
                 clocked_out_at=f"{DAY} {ends}:00+00")  # fmt: skip
    imported(app, "auto.labor_line", technician_id=person, sold_hours=7.5, flagged_on=DAY,
             status="done")  # fmt: skip
    return person


def test_a_technician_is_told_by_the_three_ratios(app: Connection, shop: UUID) -> None:
    worked(app, shop)
    app.execute(CLOSE, [shop, DAY])
    found = (
        "SELECT attended_hours, clocked_hours, flagged_hours, productivity_pct, efficiency_pct,"
        " proficiency_pct, idle_minutes, average_wait_parts_minutes"
        " FROM auto.technician_day_summary"
    )
    assert app.execute(found).fetchone() == (8, 6, 7.5, 75, 125, 93.75, 120, 60)


def test_hours_cost_what_technicians_cost(app: Connection, shop: UUID) -> None:
    worked(app, shop)
    row(app, "auto.bay", shop_id=shop, daily_capacity_hours=8)
    line(app, invoice(app, shop), "labor", 900)
    assert closed(app, shop, "billed_hours", "clocked_hours", "available_hours", "bay_use_pct",
                  "effective_labor_rate_amount", "gross_profit_amount"
                  ) == (7.5, 6, 7, 75, 120, 660)  # fmt: skip


def test_inspections_and_recommendations_are_counted(app: Connection, shop: UUID) -> None:
    person = worked(app, shop)
    imported(app, "auto.inspection", technician_id=person, status="completed", started_at=DAY,
             completed_at=f"{DAY} 15:00+00")  # fmt: skip
    job = imported(app, "auto.repair_job")
    for status, amount in [("approved", 250), ("declined", 90)]:
        imported(app, "auto.service_recommendation", recommended_by_technician_id=person,
                 recommended_on=DAY, status=status, quoted_amount=amount,
                 converted_repair_job_id=job, declined_reason="price")  # fmt: skip
    app.execute(CLOSE, [shop, DAY])
    found = (
        "SELECT inspection_count, recommendation_count, approved_amount"
        " FROM auto.technician_day_summary"
    )
    assert app.execute(found).fetchone() == (1, 2, 250)


def test_a_comeback_is_whose_the_job_was(app: Connection, shop: UUID) -> None:
    person = worked(app, shop)
    former = imported(app, "auto.repair_job", status="done", cause_text="Worn",
                      correction_text="Replaced", lead_technician_id=person)  # fmt: skip
    origin = one(
        app, "SELECT repair_order_id FROM auto.repair_job WHERE repair_job_id = %s", former
    )
    again = imported(app, "auto.repair_order", shop_id=shop, opened_at=f"{DAY} 14:00+00",
                     comeback_of_repair_order_id=origin)  # fmt: skip
    imported(app, "auto.repair_job", repair_order_id=again, comeback_of_repair_job_id=former)
    assert closed(app, shop, "comeback_count") == (1,)
    assert one(app, "SELECT comeback_count FROM auto.technician_day_summary") == 1


def test_half_of_what_was_decided_was_approved(app: Connection, shop: UUID) -> None:
    order = imported(app, "auto.repair_order", shop_id=shop)
    for status in ("approved", "declined"):
        imported(app, "auto.repair_job", repair_order_id=order, status=status,
                 decided_at=f"{DAY} 15:00+00")  # fmt: skip
    assert closed(app, shop, "approved_pct") == (50,)


def test_what_was_collected_is_no_refund(app: Connection, shop: UUID) -> None:
    imported(app, "auto.payment", shop_id=shop, amount=120, status="captured",
             paid_at=f"{DAY} 18:00+00")  # fmt: skip
    imported(app, "auto.payment", shop_id=shop, amount=80, status="failed",
             paid_at=f"{DAY} 18:00+00")  # fmt: skip
    assert closed(app, shop, "collected_amount") == (120,)


def test_a_day_is_closed_again(app: Connection, shop: UUID) -> None:
    bill = invoice(app, shop)
    line(app, bill, "labor", 100)
    assert closed(app, shop, "labor_sales_amount") == (100,)
    assert unproven(app) == []
    line(app, bill, "labor", 50)
    assert unproven(app) == ["1 cars and 100.00 sold in the summary, 1 and 150.00 in the invoices"]
    assert closed(app, shop, "labor_sales_amount") == (150,)
    assert unproven(app) == []


def unproven(app: Connection) -> list[str]:
    asked = "SELECT problem FROM auto.unproven_shop_days(%s, %s)"
    return [problem for (problem,) in app.execute(asked, [DAY, DAY]).fetchall()]


def test_there_must_be_a_shop(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="is not known"):
        app.execute(CLOSE, [tenant, DAY])
