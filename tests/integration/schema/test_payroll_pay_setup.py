"""Calendars on banking days; codes, orders and inputs that make sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused


def schedule(app: Connection, **columns: Any) -> UUID:
    return row(app, "payroll.pay_schedule", **columns)


def lay_out(app: Connection, plan: UUID, through: str, moment: str = "2026-01-02") -> int:
    found = app.execute(
        "SELECT payroll.open_pay_period(%s, %s, %s::timestamptz)", [plan, through, moment]
    ).fetchone()
    assert found
    return int(found[0])


def periods(app: Connection, columns: str = "starts_on, ends_on, check_date") -> list[Any]:
    texts = ", ".join(f"{c.strip()}::text" for c in columns.split(","))
    return app.execute(
        f"SELECT {texts} FROM payroll.pay_period ORDER BY starts_on".encode()
    ).fetchall()


@pytest.mark.parametrize(
    ("columns", "through", "found"),
    [
        (
            {"frequency": "weekly", "anchor_period_end": "2026-01-10"},
            "2026-01-20",
            [
                ("2026-01-04", "2026-01-10", "2026-01-15"),
                ("2026-01-11", "2026-01-17", "2026-01-22"),
                ("2026-01-18", "2026-01-24", "2026-01-29"),
            ],
        ),
        (
            {"frequency": "biweekly", "anchor_period_end": "2026-01-10"},
            "2026-01-11",
            [
                ("2025-12-28", "2026-01-10", "2026-01-15"),
                ("2026-01-11", "2026-01-24", "2026-01-29"),
            ],
        ),
        (
            {"frequency": "semimonthly", "anchor_period_end": "2026-01-31", "days_in_arrears": 4},
            "2026-02-16",
            [
                ("2026-01-16", "2026-01-31", "2026-02-04"),
                ("2026-02-01", "2026-02-15", "2026-02-19"),
                ("2026-02-16", "2026-02-28", "2026-03-04"),
            ],
        ),
        (
            {"frequency": "monthly", "anchor_period_end": "2026-01-31", "days_in_arrears": 0},
            "2026-02-01",
            [
                ("2026-01-01", "2026-01-31", "2026-01-30"),
                ("2026-02-01", "2026-02-28", "2026-02-27"),
            ],
        ),
        (
            {"frequency": "quarterly", "anchor_period_end": "2026-03-31", "days_in_arrears": 2},
            "2026-01-01",
            [("2026-01-01", "2026-03-31", "2026-04-02")],
        ),
    ],
)
def test_periods_follow_their_rhythm(
    app: Connection, columns: dict[str, Any], through: str, found: list[Any]
) -> None:
    plan = schedule(app, **columns)
    assert lay_out(app, plan, through) == len(found)
    assert periods(app) == found
    assert lay_out(app, plan, through) == 0


@pytest.mark.parametrize(
    ("rule", "kind", "pays_on"),
    [
        ("previous_business_day", "public", "2026-01-14"),
        ("next_business_day", "bank", "2026-01-16"),
        ("previous_business_day", "company", "2026-01-15"),
    ],
)
def test_checks_are_dated_on_banking_days(
    app: Connection, rule: str, kind: str, pays_on: str
) -> None:
    calendar = row(app, "system_core.holiday_calendar", is_default=True, valid_from="2020-01-01")
    row(
        app,
        "system_core.holiday",
        holiday_calendar_id=calendar,
        holiday_date="2026-01-15",
        kind=kind,
    )
    lay_out(app, schedule(app, weekend_rule=rule), "2026-01-01")
    assert periods(app, "check_date") == [(pays_on,)]


def test_deadlines_lie_before_the_check_date(app: Connection) -> None:
    plan = schedule(app, funding_lead_business_days=2, approval_lead_business_days=1)
    lay_out(app, plan, "2026-01-11")
    # Check dates Thursday 15 and 29 January; Chicago is six hours behind.
    assert app.execute(
        "SELECT input_deadline_at::text, approval_deadline_at::text, working_days"
        " FROM payroll.pay_period ORDER BY starts_on LIMIT 1"
    ).fetchone() == ("2026-01-12 18:00:00+00", "2026-01-13 22:00:00+00", 10)


def test_what_has_begun_is_open(app: Connection) -> None:
    plan = schedule(app)
    lay_out(app, plan, "2026-02-01", "2026-01-12 12:00+00")
    assert periods(app, "status") == [("open",), ("open",), ("future",)]
    lay_out(app, plan, "2026-02-01", "2026-01-26 12:00+00")
    assert periods(app, "status") == [("open",)] * 3
    found = app.execute("SELECT next_check_date::text FROM payroll.pay_schedule").fetchone()
    assert found == ("2026-01-29",)


def test_the_third_check_of_a_month_is_told(app: Connection) -> None:
    lay_out(app, schedule(app, anchor_period_end="2026-01-17", days_in_arrears=6), "2026-06-30")
    third = app.execute(
        "SELECT check_date::text FROM payroll.pay_period WHERE is_third_check_month"
    ).fetchall()
    assert third == [("2026-05-29",)]


def test_the_year_is_the_year_of_the_check(app: Connection) -> None:
    lay_out(app, schedule(app, anchor_period_end="2025-12-27"), "2026-01-15")
    assert periods(app, "tax_year, period_no") == [("2026", "1"), ("2026", "2"), ("2026", "3")]


def test_there_is_no_schedule_without_a_row(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="no such pay schedule"):
        lay_out(app, UUID(int=1), "2026-01-01")


def test_two_at_once_lay_a_calendar_out_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        plan = schedule(connection)
    made = at_once(target, tenant, 2, lambda c, _: lay_out(c, plan, "2026-03-01"))
    assert sorted(made) == [0, 5]


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("everybody", "hourly", False),
        ("everybody", "everybody", False),
        ("hourly", "hourly", False),
        ("hourly", "salaried", True),
    ],
)
def test_nobody_is_on_two_schedules(app: Connection, first: str, second: str, apart: bool) -> None:
    employer = row(app, "payroll.employer_entity")
    schedule(app, employer_entity_id=employer, pay_group=first)
    schedule(app, employer_entity_id=employer, pay_group=second, is_active=False)
    if apart:
        assert schedule(app, employer_entity_id=employer, pay_group=second)
        return
    with pytest.raises(errors.ExclusionViolation, match="groups_apart"):
        schedule(app, employer_entity_id=employer, pay_group=second)


def test_periods_do_not_overlap(app: Connection) -> None:
    plan = schedule(app)
    row(app, "payroll.pay_period", pay_schedule_id=plan)
    with pytest.raises(errors.ExclusionViolation, match="no_overlap"):
        row(
            app,
            "payroll.pay_period",
            pay_schedule_id=plan,
            starts_on="2026-01-10",
            ends_on="2026-01-23",
            check_date="2026-01-29",
        )


@pytest.mark.parametrize(("arrears", "ok"), [(0, True), (5, False)])
def test_only_who_pays_current_pays_before_the_end(app: Connection, arrears: int, ok: bool) -> None:
    plan = schedule(app, days_in_arrears=arrears)
    early = {"pay_schedule_id": plan, "check_date": "2026-01-08"}
    if ok:
        assert row(app, "payroll.pay_period", **early)
        return
    with pytest.raises(errors.CheckViolation, match="lies before the end"):
        row(app, "payroll.pay_period", **early)


@pytest.mark.parametrize(
    ("day", "steps", "found"),
    [
        ("2026-01-16", 1, "2026-01-19"),
        ("2026-01-19", -1, "2026-01-16"),
        ("2026-01-17", 0, "2026-01-17"),
        ("2026-01-14", 5, "2026-01-21"),
        ("2026-01-21", -5, "2026-01-14"),
        ("2026-01-18", 1, "2026-01-19"),
        ("2026-01-18", -2, "2026-01-15"),
    ],
)
def test_banking_days_skip_weekends(app: Connection, day: str, steps: int, found: str) -> None:
    assert app.execute("SELECT payroll.banking_day(%s, %s)::text", [day, steps]).fetchone() == (
        found,
    )


def test_standing_pay_of_a_code_does_not_overlap(app: Connection) -> None:
    who, code = row(app, "payroll.employee"), row(app, "payroll.earning_code")
    same = {"employee_id": who, "earning_code_id": code}
    row(app, "payroll.recurring_earning", **same, effective_until="2026-03-01")
    row(app, "payroll.recurring_earning", **{**same, "effective_from": "2026-03-01"})
    with pytest.raises(errors.ExclusionViolation, match="no_overlap"):
        row(app, "payroll.recurring_earning", **{**same, "effective_from": "2026-04-01"})


def test_an_order_takes_effect_through_a_deduction(app: Connection) -> None:
    order = row(app, "payroll.garnishment_order")
    effect = "UPDATE payroll.garnishment_order SET status = 'active'"
    with (
        pytest.raises(errors.CheckViolation, match="through a standing deduction"),
        app.transaction(),
    ):
        app.execute(effect.encode())
    found = app.execute("SELECT employee_id FROM payroll.garnishment_order").fetchone()
    assert found
    code = row(app, "payroll.deduction_code", category="garnishment")
    columns = {"deduction_code_id": code, "garnishment_order_id": order}
    with (
        pytest.raises(errors.CheckViolation, match="withheld from its employee"),
        app.transaction(),
    ):
        row(app, "payroll.employee_deduction", **columns)
    with (
        pytest.raises(errors.CheckViolation, match="withheld from its employee"),
        app.transaction(),
    ):
        row(
            app,
            "payroll.employee_deduction",
            employee_id=found[0],
            garnishment_order_id=order,
        )
    row(app, "payroll.employee_deduction", employee_id=found[0], **columns)
    app.execute(effect.encode())
    with pytest.raises(errors.UniqueViolation, match="garnishment_order"):
        row(app, "payroll.employee_deduction", employee_id=found[0], **columns)


MACHINES: dict[str, dict[str, set[str]]] = {
    "pay_period": {
        "future": {"open"},
        "open": {"in_processing"},
        "in_processing": {"open", "paid"},
        "paid": {"closed"},
        "closed": set(),
    },
    "garnishment_order": {
        "pending": {"active", "released"},
        "active": {"suspended", "satisfied", "released"},
        "suspended": {"active", "satisfied", "released"},
        "satisfied": {"active", "released"},
        "released": set(),
    },
    "variable_pay_input": {
        "draft": {"approved", "rejected"},
        "approved": {"draft", "consumed", "rejected"},
        "consumed": {"approved"},
        "rejected": set(),
    },
}


def stand(app: Connection, table: str, state: str) -> UUID:
    given: dict[str, Any] = {"status": state}
    if table == "variable_pay_input":
        given |= {"approved_at": "2026-01-12", "pay_run_id": row(app, "payroll.pay_run")}
    key = imported(app, f"payroll.{table}", **given)
    if table == "garnishment_order":
        who = app.execute(
            "SELECT employee_id FROM payroll.garnishment_order WHERE garnishment_order_id = %s",
            [key],
        ).fetchone()
        assert who
        row(
            app,
            "payroll.employee_deduction",
            employee_id=who[0],
            deduction_code_id=row(app, "payroll.deduction_code", category="garnishment"),
            garnishment_order_id=key,
        )
    return key


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, m in MACHINES.items() for b, states in m.items() for a in sorted(states)],
)
def test_a_state_may_follow(app: Connection, table: str, before: str, after: str) -> None:
    stand(app, table, before)
    app.execute(f"UPDATE payroll.{table} SET status = %s".encode(), [after])


@pytest.mark.parametrize(
    ("table", "before", "after"), [(t, b, a) for t, m in MACHINES.items() for b, a in refused(m)]
)
def test_other_states_may_not(app: Connection, table: str, before: str, after: str) -> None:
    stand(app, table, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        app.execute(f"UPDATE payroll.{table} SET status = %s".encode(), [after])


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("pay_schedule", {"funding_lead_business_days": 3}, "funding_lead_known"),
        ("pay_schedule", {"approval_lead_business_days": 9}, "approval_lead_bounded"),
        ("pay_schedule", {"days_in_arrears": 40}, "arrears_bounded"),
        ("pay_period", {"ends_on": "2025-12-01"}, "ends_after_start"),
        (
            "pay_period",
            {"check_date": "2025-12-01", "ends_on": "2025-12-28"},
            "check_date_not_before_start|lies before",
        ),
        ("pay_period", {"period_no": 54}, "number_positive"),
        ("pay_period", {"working_days": 20}, "working_days_fit"),
        ("earning_code", {"multiplier": 4}, "multiplier_bounded"),
        ("earning_code", {"earning_kind": "overtime", "multiplier": 1.4}, "overtime_pays_more"),
        ("earning_code", {"earning_kind": "doubletime", "multiplier": 1.5}, "overtime_pays_more"),
        ("earning_code", {"earning_kind": "reimbursement"}, "reimbursement_not_taxable"),
        ("earning_code", {"is_supplemental": True}, "supplemental_is_not_time"),
        (
            "earning_code",
            {"earning_kind": "overtime", "multiplier": 1.5, "in_regular_rate": True},
            "premium_on_overtime",
        ),
        ("deduction_code", {"priority": 0}, "priority_bounded"),
        ("deduction_code", {"priority": 1000}, "priority_bounded"),
        ("deduction_code", {"annual_limit_amount": 0}, "limits_positive"),
        (
            "deduction_code",
            {"annual_limit_amount": 9, "catch_up_limit_amount": 9, "catch_up_from_age": 50},
            "catch_up_is_for_retirement",
        ),
        ("deduction_code", {"catch_up_from_age": 50}, "catch_up_is_whole"),
        (
            "deduction_code",
            {"category": "roth", "tax_treatment": "deferral_401k"},
            "treatment_fits",
        ),
        ("deduction_code", {"calculation": "percent_disposable"}, "disposable_is_for"),
        ("recurring_earning", {"amount": 0}, "amount_positive"),
        (
            "recurring_earning",
            {"total_goal_amount": 5, "paid_to_date_amount": 6},
            "paid_up_to_goal",
        ),
        ("garnishment_agency", {"state_code": "Ill"}, "state_is_two_letters"),
        (
            "garnishment_agency",
            {"agency_kind": "child_support_sdu", "remittance_due_days": 5},
            "state_has_its_state",
        ),
        (
            "garnishment_agency",
            {"agency_kind": "child_support_sdu", "state_code": "IL", "remittance_due_days": 8},
            "support_within_a_week",
        ),
        ("garnishment_agency", {"requires_fips": True}, "fips_where_required"),
        ("garnishment_agency", {"payment_method": "eft"}, "transfer_has_account"),
        ("garnishment_order", {"withholding_percent": 5}, "says_how_much"),
        ("garnishment_order", {"withholding_amount": None}, "says_how_much"),
        ("garnishment_order", {"max_percent_disposable": 26}, "limit_by_kind"),
        ("garnishment_order", {"max_percent_disposable": None}, "limit_by_kind"),
        (
            "garnishment_order",
            {"order_kind": "student_loan", "max_percent_disposable": 16},
            "limit_by_kind",
        ),
        (
            "garnishment_order",
            {"order_kind": "child_support", "max_percent_disposable": 65},
            "limit_by_kind",
        ),
        (
            "garnishment_order",
            {
                "order_kind": "child_support",
                "max_percent_disposable": 60,
                "supports_second_family": True,
            },
            "limit_by_kind",
        ),
        (
            "garnishment_order",
            {"order_kind": "child_support", "max_percent_disposable": 40},
            "limit_by_kind",
        ),
        ("garnishment_order", {"supports_second_family": True}, "second_family_is_for_support"),
        (
            "garnishment_order",
            {"total_owed_amount": 5, "withheld_to_date_amount": 6},
            "withheld_up_to_owed",
        ),
        ("garnishment_order", {"effective_on": "2026-01-01"}, "effective_after_receipt"),
        ("variable_pay_input", {"amount": None}, "says_something"),
        ("variable_pay_input", {"desired_net_amount": 5}, "net_is_for_gross_up"),
        ("variable_pay_input", {"input_kind": "gross_up"}, "net_is_for_gross_up"),
        ("variable_pay_input", {"input_kind": "hours"}, "hours_are_hours"),
        ("variable_pay_input", {"units": 5}, "units_have_rate"),
        ("variable_pay_input", {"amount": -5}, "only_corrections_take_back"),
        ("employee_deduction", {"percent": 5}, "amount_or_percent"),
        ("employee_deduction", {"amount": None}, "amount_or_percent"),
        ("employee_deduction", {"amount": None, "percent": 101}, "percent_bounded"),
        ("employee_deduction", {"arrears_amount": -1}, "amounts_not_negative"),
        ("employee_deduction", {"goal_amount": 5, "taken_to_date_amount": 6}, "taken_up_to_goal"),
        ("employee_deduction", {"effective_until": "2026-01-01"}, "ends_after_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"({truth})"):
        row(app, f"payroll.{table}", **columns)


@pytest.mark.parametrize(
    "columns",
    [
        {
            "order_kind": "child_support",
            "max_percent_disposable": 65,
            "arrears_over_12_weeks": True,
        },
        {
            "order_kind": "child_support",
            "max_percent_disposable": 55,
            "arrears_over_12_weeks": True,
            "supports_second_family": True,
        },
        {"order_kind": "bankruptcy", "max_percent_disposable": None},
        {
            "order_kind": "federal_tax_levy",
            "max_percent_disposable": None,
            "withholding_amount": None,
        },
    ],
)
def test_orders_within_their_limits_stand(app: Connection, columns: dict[str, Any]) -> None:
    assert row(app, "payroll.garnishment_order", **columns)
