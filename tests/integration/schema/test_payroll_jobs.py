"""Jobs and pay: one primary job at a time, rates that follow each other, floors that hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import row
from tests.integration.schema.staffing import Hire, hire


def rates(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT rate_amount, effective_from, effective_until, change_pct"
        " FROM payroll.compensation_rate ORDER BY effective_from"
    ).fetchall()


def pay(connection: Connection, somebody: Hire, **given: Any) -> UUID:
    columns = {"job_assignment_id": somebody.job, "effective_from": "2026-01-01", **given}
    return row(connection, "payroll.compensation_rate", **columns)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("job_assignment", {"fte_pct": 0}, "fte_bounded"),
        ("job_assignment", {"fte_pct": 101}, "fte_bounded"),
        ("job_assignment", {"effective_until": "2026-05-04"}, "ends_after_start"),
        ("job_assignment", {"standard_hours_weekly": 169}, "hours_bounded"),
        ("job_assignment", {"assignment_no": 0}, "number_positive"),
        ("job_assignment", {"worker_category": "friend"}, "worker_category_known"),
        ("job_assignment", {"change_reason": "whim"}, "change_reason_known"),
        (
            "compensation_rate",
            {"rate_amount": 0, "pay_basis": "piece", "pay_frequency_basis": "unit"},
            "pays",
        ),
        ("compensation_rate", {"effective_until": "2026-05-04"}, "ends_after_start"),
        ("compensation_rate", {"approved_at": "2026-05-04 10:00+00"}, "approved_by_somebody"),
        ("compensation_rate", {"pay_frequency_basis": "month"}, "frequency_fits_basis"),
        ("compensation_rate", {"pay_basis": "salary"}, "frequency_fits_basis"),
        ("compensation_rate", {"pay_basis": "piece"}, "frequency_fits_basis"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"payroll.{table}", **columns)


def test_two_jobs_one_of_them_primary(app: Connection) -> None:
    somebody = hire(app)
    row(app, "payroll.job_assignment", employee_id=somebody.person, assignment_no=2)
    with pytest.raises(errors.ExclusionViolation, match="one_primary_at_a_time"):
        row(app, "payroll.job_assignment", employee_id=somebody.person, is_primary=True)


def test_nobody_manages_themselves(app: Connection) -> None:
    person = row(app, "payroll.employee")
    with pytest.raises(errors.CheckViolation, match="nobody_manages_themselves"):
        row(app, "payroll.job_assignment", employee_id=person, manager_employee_id=person)


def test_a_raise_closes_the_former_rate(app: Connection) -> None:
    somebody = hire(app)
    pay(app, somebody, rate_amount=21)
    assert rates(app) == [
        (Decimal(20), date(2024, 1, 15), date(2026, 1, 1), None),
        (Decimal(21), date(2026, 1, 1), None, Decimal(5)),
    ]


def test_a_rate_does_not_reach_into_the_next(app: Connection) -> None:
    somebody = hire(app)
    pay(app, somebody)
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        pay(app, somebody, effective_from="2025-01-01", effective_until="2026-02-01")


def test_two_raises_at_once_follow_each_other(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        somebody = hire(connection)

    def grant(connection: Connection, number: int) -> str:
        try:
            pay(connection, somebody, rate_amount=21 + number, effective_from="2026-01-01")
        except errors.ExclusionViolation:
            return "refused"
        return "granted"

    assert sorted(at_once(target, tenant, 2, grant)) == ["granted", "refused"]
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert [(after, until) for _, after, until, _ in rates(connection)] == [
            (date(2024, 1, 15), date(2026, 1, 1)),
            (date(2026, 1, 1), None),
        ]


@pytest.mark.parametrize(
    ("basis", "frequency", "rate", "year"),
    [
        ("hourly", "hour", 20, 41600),
        ("salary", "week", 1000, 52000),
        ("salary", "biweek", 2000, 52000),
        ("salary", "semimonth", 2000, 48000),
        ("salary", "month", 4000, 48000),
        ("salary", "year", 50000, 50000),
        ("piece", "unit", 3, 0),
    ],
)
def test_a_rate_says_what_it_makes_of_a_year(
    app: Connection, basis: str, frequency: str, rate: int, year: int
) -> None:
    somebody = hire(app)
    made = pay(app, somebody, pay_basis=basis, pay_frequency_basis=frequency, rate_amount=rate)
    found = app.execute(
        "SELECT annualized_amount FROM payroll.compensation_rate WHERE compensation_rate_id = %s",
        [made],
    ).fetchone()
    assert found == (Decimal(year),)


def test_pay_is_compared_with_the_middle_of_the_range(app: Connection) -> None:
    profile = row(
        app, "payroll.job_profile", pay_range_min_amount=40000, pay_range_max_amount=64000
    )
    hire(app, job_profile_id=profile)
    found = app.execute("SELECT compa_ratio FROM payroll.compensation_rate").fetchone()
    assert found == (Decimal("0.8000"),)


@pytest.mark.parametrize(
    ("profile", "place", "rate", "held"),
    [
        ({}, {}, 15, True),
        ({}, {}, 14.99, False),
        ({"is_tipped": True}, {"tipped_minimum_wage_amount": 9}, 9, True),
        ({"is_tipped": True}, {"tipped_minimum_wage_amount": 9}, 8.99, False),
        ({"is_tipped": True}, {}, 14.99, False),
    ],
)
def test_an_hour_is_paid_with_the_minimum_wage_of_its_place(
    app: Connection, profile: dict[str, Any], place: dict[str, Any], rate: float, held: bool
) -> None:
    somebody = hire(app, place=place, job_profile_id=row(app, "payroll.job_profile", **profile))
    if held:
        pay(app, somebody, rate_amount=rate)
        return
    with pytest.raises(errors.CheckViolation, match="is paid with at least"):
        pay(app, somebody, rate_amount=rate)


@pytest.mark.parametrize(
    ("test", "place", "basis", "rate", "held"),
    [
        ("executive", {}, "week", 684, True),
        ("executive", {}, "week", 683.99, False),
        ("executive", {}, "year", 35568, True),
        ("executive", {}, "year", 35567, False),
        ("executive", {"exempt_weekly_minimum_amount": 1352}, "week", 684, False),
        ("administrative", {}, "hour", 60, False),
        ("computer", {}, "hour", 60, True),
        ("outside_sales", {}, "year", 20000, True),
    ],
)
def test_an_exempt_job_is_paid_a_salary(
    app: Connection, test: str, place: dict[str, Any], basis: str, rate: float, held: bool
) -> None:
    profile = row(app, "payroll.job_profile", flsa_status="exempt", exemption_test=test)
    site = row(app, "payroll.work_location", **place)
    job = row(app, "payroll.job_assignment", job_profile_id=profile, work_location_id=site)
    columns = {
        "job_assignment_id": job,
        "pay_basis": "hourly" if basis == "hour" else "salary",
        "pay_frequency_basis": basis,
        "rate_amount": rate,
    }
    if held:
        row(app, "payroll.compensation_rate", **columns)
        return
    with pytest.raises(errors.CheckViolation, match="paid a salary of at least"):
        row(app, "payroll.compensation_rate", **columns)


def test_what_was_paid_long_ago_is_not_measured_by_todays_law(app: Connection) -> None:
    job = row(app, "payroll.job_assignment", effective_from="2010-01-01")
    assert row(
        app,
        "payroll.compensation_rate",
        job_assignment_id=job,
        rate_amount=8,
        effective_from="2010-01-01",
        effective_until="2011-01-01",
    )


def test_when_the_minimum_rises_low_rates_rise_with_it(app: Connection) -> None:
    low = hire(app)
    pay(app, low, rate_amount=16)
    app.execute("UPDATE payroll.work_location SET minimum_wage_amount = 17")
    statement = "SELECT payroll.raise_to_minimum(%s, '2026-07-01')"
    assert app.execute(statement, [low.place]).fetchone() == (1,)
    assert rates(app)[-1][:3] == (Decimal(17), date(2026, 7, 1), None)
    assert app.execute(statement, [low.place]).fetchone() == (0,)


def test_who_earns_enough_is_not_raised(app: Connection) -> None:
    somebody = hire(app)
    found = app.execute("SELECT payroll.raise_to_minimum(%s)", [somebody.place]).fetchone()
    assert found == (0,)


@pytest.mark.parametrize(
    ("basis", "frequency", "rate", "hour"),
    [("hourly", "hour", 20, 20), ("salary", "year", 52000, 25), ("day_rate", "unit", 200, 25)],
)
def test_pay_for_an_hour_is_known_for_hours_salaries_and_days(
    app: Connection, basis: str, frequency: str, rate: int, hour: int
) -> None:
    somebody = hire(app)
    pay(app, somebody, pay_basis=basis, pay_frequency_basis=frequency, rate_amount=rate)
    found = app.execute("SELECT payroll.hourly_rate(%s, '2026-05-04')", [somebody.job]).fetchone()
    assert found == (Decimal(hour),)


def test_pay_for_an_hour_is_that_of_the_day(app: Connection) -> None:
    somebody = hire(app)
    pay(app, somebody, rate_amount=21)
    statement = (
        "SELECT payroll.hourly_rate(%s, '2025-12-31'), payroll.hourly_rate(%s, '2026-01-01')"
    )
    assert app.execute(statement, [somebody.job] * 2).fetchone() == (Decimal(20), Decimal(21))
