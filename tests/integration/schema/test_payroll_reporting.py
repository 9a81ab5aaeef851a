"""Measures of labor add up, reports show what a reader may see, duties are not forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.payday import Company, company, shop
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import Hire, hire
from tests.integration.schema.states import refused

__all__ = ["shop"]  # a fixture

AT = "2026-05-04 10:00+00"
VARIANCE = {
    "open": ["explained", "error_fixed", "ignored"],
    "ignored": ["explained", "error_fixed"],
    "explained": [],
    "error_fixed": [],
}
RUN = {
    "running": ["done", "failed", "cancelled"],
    "done": [],
    "failed": [],
    "cancelled": [],
}
DEADLINE = {
    "upcoming": ["in_progress", "done", "late", "not_applicable"],
    "in_progress": ["upcoming", "done", "late", "not_applicable"],
    "late": ["done", "not_applicable"],
    "done": ["in_progress", "late"],
    "not_applicable": ["upcoming"],
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("headcount_snapshot", {"snapshot_month": "2026-05-02"}, "of_a_month"),
        (
            "headcount_snapshot",
            {"terminations": 1, "voluntary_terminations": 2},
            "voluntary_within_all",
        ),
        ("headcount_snapshot", {"headcount": 1, "hires": 2}, "began_with_somebody_or_none"),
        ("headcount_snapshot", {"open_positions": -1}, "countable"),
        ("labor_cost_snapshot", {"regular_hours": -1}, "hours_not_negative"),
        ("labor_cost_snapshot", {"budget_amount": -1}, "budget_not_negative"),
        ("pay_variance", {"current_value": 600}, "differs"),
        ("pay_variance", {"status": "ignored", "reviewed_by": ...}, "reviewed_unless_open"),
        ("pay_variance", {"reviewed_at": AT}, "reviewed_unless_open"),
        ("pay_variance", {"status": "ignored", "reviewed_at": AT}, "reviewed_by_somebody"),
        (
            "pay_variance",
            {"status": "explained", "reviewed_at": AT, "reviewed_by": ..., "explanation": " "},
            "explained_has_words",
        ),
        ("report_definition", {"visibility": "managers", "masks_pay": False}, "masks_pay"),
        ("report_definition", {"schedule_cron": "0 6 * *", "recipients": ["a"]}, "five_fields"),
        ("report_definition", {"schedule_cron": "0 6 * * 1"}, "schedule_has_recipients"),
        ("report_run", {"finished_at": "2026-05-04 10:01+00"}, "running_until_finished"),
        (
            "report_run",
            {"status": "done", "finished_at": "2026-05-04 09:59+00"},
            "finishes_after_start",
        ),
        ("report_run", {"status": "failed", "finished_at": AT}, "failed_says_why"),
        ("report_run", {"row_count": -1}, "rows_countable"),
        ("report_run", {"file_object_id": ..., "format": "csv"}, "file_of_finished"),
        ("compliance_deadline", {"status": "done"}, "done_has_day"),
        ("compliance_deadline", {"completed_on": "2026-05-04"}, "done_has_day"),
        ("compliance_deadline", {"status": "not_applicable"}, "not_applicable_says_why"),
        ("compliance_deadline", {"reminder_days": [3, -1]}, "reminds_ahead"),
        (
            "compliance_deadline",
            {"tax_filing_id": ..., "tax_deposit_id": ...},
            "of_one_document",
        ),
    ],
)
def test_a_row_that_cannot_be_true(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        imported(app, f"payroll.{table}", **columns)


# Heads.


def end_spell(connection: Connection, who: Hire, day: str, kind: str = "voluntary") -> None:
    connection.execute(
        "UPDATE payroll.employment_spell SET terminated_on = %s, last_day_worked = %s,"
        " termination_kind = %s, final_pay_due_on = %s WHERE employee_id = %s",
        [day, day, kind, day, who.person],
    )


def heads(connection: Connection, month: str, *columns: str) -> list[Any]:
    connection.execute("SELECT payroll.take_headcount(%s)", [month])
    wanted = ", ".join(columns or ("headcount", "hires", "terminations"))
    return connection.execute(
        f"SELECT {wanted} FROM payroll.headcount_snapshot WHERE snapshot_month = %s"
        " ORDER BY headcount DESC, department_id".encode(),
        [month],
    ).fetchall()


def test_a_head_is_counted_from_the_month_of_the_hire(app: Connection) -> None:
    hire(app)
    assert heads(app, "2023-12-01") == []
    assert heads(app, "2024-01-01") == [(1, 1, 0)]
    assert heads(app, "2024-02-01") == [(1, 0, 0)]


@pytest.mark.parametrize(
    ("day", "march", "april"),
    [
        ("2026-03-31", [(0, 0, 1)], []),
        ("2026-03-01", [(0, 0, 1)], []),
        ("2026-04-01", [(1, 0, 0)], [(0, 0, 1)]),
    ],
)
def test_a_leaver_is_no_head_at_the_end_of_the_month(
    app: Connection, day: str, march: list[Any], april: list[Any]
) -> None:
    end_spell(app, hire(app), day)
    assert heads(app, "2026-03-01") == march
    assert heads(app, "2026-04-01") == april


def test_who_came_and_went_in_a_month_did_both(app: Connection) -> None:
    end_spell(app, hire(app), "2024-01-20")
    assert heads(app, "2024-01-01") == [(0, 1, 1)]


@pytest.mark.parametrize(
    ("kind", "voluntary"), [("voluntary", 1), ("retirement", 1), ("layoff", 0), ("involuntary", 0)]
)
def test_whose_will_it_was(app: Connection, kind: str, voluntary: int) -> None:
    end_spell(app, hire(app), "2026-03-10", kind)
    assert heads(app, "2026-03-01", "voluntary_terminations") == [(voluntary,)]


def test_who_moves_leaves_one_and_comes_to_the_other(app: Connection) -> None:
    somebody = hire(app)
    app.execute("UPDATE payroll.job_assignment SET effective_until = '2026-03-15'")
    row(
        app,
        "payroll.job_assignment",
        employee_id=somebody.person,
        work_location_id=somebody.place,
        job_profile_id=somebody.profile,
        is_primary=True,
        assignment_no=2,
        effective_from="2026-03-15",
    )
    found = heads(app, "2026-03-01", "headcount", "transfers_in", "transfers_out", "turnover_pct")
    assert found == [(1, 1, 0, Decimal(0)), (0, 0, 1, Decimal(0))]
    assert heads(app, "2026-04-01", "headcount", "transfers_in", "transfers_out") == [(1, 0, 0)]


def test_who_comes_back_in_the_month_left_and_was_hired(app: Connection) -> None:
    somebody = hire(app)
    end_spell(app, somebody, "2026-03-05")
    row(
        app,
        "payroll.employment_spell",
        employee_id=somebody.person,
        employer_entity_id=somebody.employer,
        hired_on="2026-03-20",
    )
    assert heads(app, "2026-03-01") == [(1, 1, 1)]


def test_turnover_is_of_the_mean_of_before_and_after(app: Connection) -> None:
    key = row(app, "payroll.headcount_snapshot", headcount=9, terminations=2, hires=1)
    found = one(
        app,
        "SELECT turnover_pct FROM payroll.headcount_snapshot WHERE headcount_snapshot_id = %s",
        key,
    )
    assert found == Decimal("21.0526")  # 2 of (10 before + 9 after) / 2


def test_a_post_is_open_for_three_months(app: Connection) -> None:
    somebody = hire(app)
    end_spell(app, somebody, "2026-01-10")
    other = hire(app)
    app.execute(
        "UPDATE payroll.job_assignment SET (department_id, work_location_id) = ("
        "  SELECT department_id, work_location_id FROM payroll.job_assignment"
        "  WHERE employee_id = %s) WHERE employee_id = %s",
        [somebody.person, other.person],
    )
    for month, still in (
        ("2026-01-01", 1),
        ("2026-02-01", 1),
        ("2026-03-01", 1),
        ("2026-04-01", 0),
    ):
        assert heads(app, month, "open_positions") == [(still,)]


def test_heads_taken_again_are_the_same(app: Connection) -> None:
    hire(app)
    first = heads(app, "2026-03-01", "headcount_snapshot_id", "headcount", "fte")
    assert heads(app, "2026-03-01", "headcount_snapshot_id", "headcount", "fte") == first


# Cost.


def costs(shop: Company, period: int = 1) -> list[Any]:
    shop.connection.execute("SELECT payroll.take_labor_cost(%s, %s)", [shop.period(period), AT])
    return shop.all(
        "SELECT department_id, regular_hours, overtime_hours, gross_amount, total_cost_amount"
        " FROM payroll.labor_cost_snapshot ORDER BY gross_amount DESC"
    )


def test_a_period_costs_what_its_paychecks_cost(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8), ("2026-01-06", 2, "overtime"))
    shop.deduct(who, "MEDICAL", amount=10, employer_amount=Decimal("33.33"))
    run = shop.finish()
    found = shop.paycheck(run, who)
    ((department, regular, overtime, gross, total),) = costs(shop)
    assert department == shop.department
    assert (regular, overtime, gross) == (8, 2, found["gross_amount"])
    assert total == (
        found["gross_amount"] + found["employer_tax_amount"] + found["employer_benefit_amount"]
    )
    assert shop.one(
        "SELECT overtime_pct, overtime_amount, benefit_amount, cost_per_hour_amount"
        " FROM payroll.labor_cost_snapshot"
    ) == (20, 60, Decimal("33.33"), round(total / 10, 2))


def test_what_the_employer_adds_is_shared_by_what_was_earned(shop: Company) -> None:
    who = shop.hire(rate=20)
    other = row(shop.connection, "payroll.department")
    sheet = shop.work(who, 1, ("2026-01-05", 9))
    imported(
        shop.connection,
        "payroll.timesheet_entry",
        timesheet_id=sheet,
        job_assignment_id=shop.job(who),
        earning_code_id=shop.codes["REG"],
        department_id=other,
        work_date="2026-01-06",
        hours=3,
        entry_kind="regular",
    )
    shop.deduct(who, "MEDICAL", amount=0, employer_amount=Decimal("100.01"))
    found = shop.paycheck(shop.finish(), who)
    costs(shop)
    shares = dict(shop.all("SELECT department_id, benefit_amount FROM payroll.labor_cost_snapshot"))
    assert sum(shares.values()) == found["employer_benefit_amount"]
    assert abs(shares[other] - Decimal("25.00")) <= Decimal("0.01")
    assert (
        shop.one("SELECT sum(employer_tax_amount) FROM payroll.labor_cost_snapshot")
        == (found["employer_tax_amount"])
    )


def test_a_draft_costs_nothing_yet(shop: Company) -> None:
    shop.hire(rate=78000, basis="salary")
    shop.calculate(shop.start())
    assert costs(shop) == []


def test_what_was_voided_is_no_cost_any_more(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.finish()
    assert len(costs(shop)) == 1
    shop.connection.execute(
        "SELECT payroll.void_paycheck(%s, 'wrong person', %s, %s)",
        [shop.paycheck(run, who)["paycheck_id"], shop.preparer, shop.approver],
    )
    assert costs(shop) == []


def test_the_budget_of_a_year_is_shared_by_days_and_heads(shop: Company) -> None:
    shop.connection.execute("UPDATE payroll.department SET budget_annual_amount = 36500")
    elsewhere = row(
        shop.connection,
        "payroll.work_location",
        employer_entity_id=shop.employer,
        state_code="IL",
        minimum_wage_amount=15,
    )
    for place in (shop.place, shop.place, elsewhere):
        shop.hire(rate=78000, basis="salary", place=place)
    shop.finish()
    costs(shop)
    assert shop.all(
        "SELECT work_location_id = %s, budget_amount FROM payroll.labor_cost_snapshot ORDER BY 1",
        shop.place,
    ) == [(False, Decimal("466.67")), (True, Decimal("933.33"))]  # 14 days of 100


def test_there_is_no_cost_of_no_period(shop: Company) -> None:
    with pytest.raises(errors.NoDataFound, match="no pay period"):
        shop.connection.execute("SELECT payroll.take_labor_cost(%s)", [shop.employer])


@pytest.mark.parametrize(
    ("call", "table", "rows"),
    [
        ("take_labor_cost(%(period)s)", "labor_cost_snapshot", 1),
        ("take_headcount('2026-01-01')", "headcount_snapshot", 1),
        ("find_variances(%(run)s)", "pay_variance", 3),
    ],
)
def test_a_measure_taken_by_many_at_once_is_there_once(
    deployed: Target, copy_of: Callable[[Target], Target], call: str, table: str, rows: int
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        preparer, approver = (add_account(connection, tenant, name) for name in ("ada", "boss"))
        become_app(connection, tenant)
        shop = company(connection, preparer, approver)
        _, run = unlike(shop)
        given = {"period": shop.period(), "run": run}

    def take(connection: Connection, _: int) -> Any:
        found = connection.execute(f"SELECT payroll.{call}".encode(), given).fetchone()
        assert found
        return found[0]

    assert at_once(target, tenant, 3, take) == [rows] * 3
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert one(connection, f"SELECT count(*) FROM payroll.{table}") == rows


# Variances.


def unlike(shop: Company, amount: int = 9000, periods: int = 3) -> tuple[UUID, UUID]:
    """Somebody with some usual paychecks, and a run with a bonus on top."""
    who = shop.hire(rate=78000, basis="salary")
    for number in range(1, periods + 1):
        shop.finish(number)
    if amount:
        shop.give(who, "BONUS", amount=amount, pay_period_id=shop.period(periods + 1))
    run = shop.start(periods + 1)
    shop.calculate(run)
    return who, run


def variances(shop: Company, run: UUID) -> dict[str, Any]:
    shop.connection.execute("SELECT payroll.find_variances(%s)", [run])
    return {
        measure: rest
        for measure, *rest in shop.all(
            "SELECT measure, expected_value, difference, difference_pct, reason_guess, status"
            " FROM payroll.pay_variance WHERE pay_run_id = %s",
            run,
        )
    }


def test_a_bonus_is_unlike_the_paychecks_before(shop: Company) -> None:
    _, run = unlike(shop)
    found = variances(shop, run)
    assert set(found) == {"net", "gross", "tax"}
    assert found["gross"] == [3000, 9000, 300, "bonus", "open"]


@pytest.mark.parametrize(("amount", "periods"), [(0, 3), (9000, 2), (300, 3)])
def test_the_usual_is_no_variance(shop: Company, amount: int, periods: int) -> None:
    _, run = unlike(shop, amount, periods)
    assert variances(shop, run) == {}


def test_fewer_hours_are_guessed_from_the_hours(shop: Company) -> None:
    who = shop.hire(rate=20)
    for number, hours in ((1, 8), (2, 8), (3, 8), (4, 2)):
        first = shop.one(
            "SELECT starts_on FROM payroll.pay_period WHERE pay_period_id = %s", shop.period(number)
        )
        shop.work(who, number, (first, hours))
        if number < 4:
            shop.finish(number)
    run = shop.start(4)
    shop.calculate(run)
    found = variances(shop, run)
    assert found["hours"][:2] == [8, -6]
    assert {reason for *_, reason, _ in found.values()} == {"missing_hours"}


def test_a_decision_on_a_variance_stands_when_found_again(shop: Company) -> None:
    _, run = unlike(shop)
    variances(shop, run)
    shop.connection.execute(
        "UPDATE payroll.pay_variance SET status = 'explained', explanation = 'As agreed',"
        " reviewed_at = now(), reviewed_by = %s WHERE measure = 'net'",
        [shop.approver],
    )
    assert {m: v[-1] for m, v in variances(shop, run).items()} == {
        "net": "explained",
        "gross": "open",
        "tax": "open",
    }


def test_there_are_no_variances_of_no_run(shop: Company) -> None:
    with pytest.raises(errors.NoDataFound, match="no run"):
        variances(shop, shop.employer)


def test_a_variance_goes_when_its_cause_does(shop: Company) -> None:
    _, run = unlike(shop)
    assert variances(shop, run)
    shop.connection.execute("UPDATE payroll.variable_pay_input SET status = 'rejected'")
    shop.calculate(run)
    assert variances(shop, run) == {}


@pytest.mark.parametrize(("before", "after"), refused(VARIANCE))
def test_a_variance_goes_its_way(app: Connection, before: str, after: str) -> None:
    columns = (
        {}
        if before == "open"
        else {
            "reviewed_at": AT,
            "reviewed_by": row(app, "user_mgmt.user_account"),
            "explanation": "As agreed",
        }
    )
    imported(app, "payroll.pay_variance", status=before, **columns)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE payroll.pay_variance SET status = %s", [after])


# Published figures.


def refresh(connection: Connection, name: str) -> None:
    connection.execute("RESET ROLE")
    connection.execute(f"REFRESH MATERIALIZED VIEW payroll.{name}".encode())
    connection.execute("SET LOCAL ROLE app_user")


def test_the_months_have_cost_and_heads(shop: Company) -> None:
    shop.hire(rate=78000, basis="salary")
    shop.finish()
    costs(shop)
    month = shop.one(
        "SELECT date_trunc('month', check_date)::date FROM payroll.pay_period"
        " WHERE pay_period_id = %s",
        shop.period(),
    )
    shop.connection.execute("SELECT payroll.take_headcount(%s)", [month])
    refresh(shop.connection, "mv_labor_cost_monthly")
    assert shop.all(
        "SELECT month, gross_amount, headcount, cost_per_fte_amount = total_cost_amount"
        " FROM payroll.v_labor_cost_monthly"
    ) == [(month, Decimal("3000.00"), 1, True)]


@pytest.mark.parametrize("name", ["mv_labor_cost_monthly", "mv_pay_equity"])
def test_nobody_reads_the_figures_of_all_tenants(app: Connection, name: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(f"SELECT FROM payroll.{name}".encode())


def test_a_tenant_sees_its_own_months_only(admin: Connection, app: Connection) -> None:
    row(app, "payroll.headcount_snapshot")
    refresh(app, "mv_labor_cost_monthly")
    assert one(app, "SELECT count(*) FROM payroll.v_labor_cost_monthly") == 1
    app.execute("RESET ROLE")
    become_app(admin, add_tenant(admin, "second"))
    assert one(app, "SELECT count(*) FROM payroll.v_labor_cost_monthly") == 0


def staff(connection: Connection, job: UUID, number: int) -> None:
    for _ in range(number):
        hire(connection, job_profile_id=job)


def equity(connection: Connection) -> list[Any]:
    refresh(connection, "mv_pay_equity")
    return connection.execute(
        "SELECT level, group_code, people FROM payroll.v_pay_equity ORDER BY level, group_code"
    ).fetchall()


def profile(connection: Connection, code: str) -> UUID:
    return row(
        connection,
        "payroll.job_profile",
        job_code=code,
        pay_range_min_amount=34000,
        pay_range_max_amount=42000,
    )


def test_four_people_are_not_told_of(app: Connection) -> None:
    cook = profile(app, "COOK")
    staff(app, cook, 4)
    assert equity(app) == []
    staff(app, cook, 1)
    assert equity(app) == [("grade", "grade 2", 5), ("job", "COOK", 5)]


def test_a_grade_does_not_tell_of_the_few_beside_a_job(app: Connection) -> None:
    staff(app, profile(app, "COOK"), 5)
    server = profile(app, "SERVER")
    staff(app, server, 1)
    assert equity(app) == [("job", "COOK", 5)]
    staff(app, server, 4)
    assert equity(app) == [("grade", "grade 2", 10), ("job", "COOK", 5), ("job", "SERVER", 5)]


def test_the_ratio_is_to_the_middle_of_the_range(app: Connection) -> None:
    staff(app, profile(app, "COOK"), 5)
    app.execute("UPDATE payroll.compensation_rate SET annualized_amount = 41800")
    refresh(app, "mv_pay_equity")
    assert one(
        app,
        "SELECT compa_ratio_mean, compa_ratio_median, pay_median_amount, spread_pct"
        " FROM payroll.v_pay_equity WHERE level = 'job'",
    ) == (Decimal("1.1000"), Decimal("1.1000"), Decimal("41800.00"), Decimal("0.00"))


# Reports.


def report(connection: Connection, kind: str, definition: dict[str, Any], **given: Any) -> UUID:
    return row(
        connection,
        "payroll.report_definition",
        report_kind=kind,
        definition=json.dumps(definition),
        **{"visibility": "payroll", "masks_pay": False, **given},
    )


@pytest.mark.parametrize(
    ("kind", "definition", "problem"),
    [
        ("register", {"columns": []}, "at least one"),
        ("register", {}, "at least one"),
        ("register", {"columns": ["ssn_last4"]}, "no column ssn_last4"),
        ("headcount", {"columns": ["net"]}, "a headcount report has no column net"),
        ("register", {"columns": ["net"], "group_by": ["name"]}, "name is not among the columns"),
        (
            "register",
            {"columns": ["net"], "filters": {"birth_date": "1990-01-01"}},
            "no column birth_date",
        ),
        ("register", {"columns": ["name"], "filters": {"net": 3000}}, "net is pay"),
        ("register", {"columns": ["net"], "sql": "DROP TABLE x"}, "sql: what is this"),
        ("register", {"columns": [{"a": 1}]}, "no column"),
    ],
)
def test_a_report_names_allowed_columns_only(
    app: Connection, kind: str, definition: dict[str, Any], problem: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=problem):
        report(app, kind, definition)


@pytest.mark.parametrize(
    "kind",
    [
        "register",
        "labor_cost",
        "tax_liability",
        "deduction",
        "time",
        "headcount",
        "benefit_cost",
        "custom",
    ],
)
def test_every_allowed_column_can_be_shown(app: Connection, kind: str) -> None:
    names = [
        name
        for (name,) in app.execute(
            "SELECT column_name FROM payroll.report_columns(%s)", [kind]
        ).fetchall()
    ]
    made = report(app, kind, {"columns": names})
    assert run(app, made, row(app, "user_mgmt.user_account")) == []


def run(
    connection: Connection, made: UUID, reader: UUID, until: str = "2027-01-01"
) -> list[dict[str, Any]]:
    found = connection.execute(
        "SELECT x FROM payroll.run_report(%s, %s, '2026-01-01', %s, '2026-05-04') AS x",
        [made, reader, until],
    ).fetchall()
    return [line for (line,) in found]


def test_a_register_shows_its_columns_and_period(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    found = shop.paycheck(shop.finish(), who)
    made = report(shop.connection, "register", {"columns": ["check_number", "gross"]})
    assert run(shop.connection, made, shop.preparer) == [
        {"check_number": found["check_number"], "gross": 3000.00}
    ]
    day = found["check_date"]
    assert isinstance(day, date)
    assert run(shop.connection, made, shop.preparer, str(day)) == []
    assert shop.all(
        "SELECT row_count, rows_masked, status, run_by FROM payroll.report_run ORDER BY started_at"
    ) == [(1, 0, "done", shop.preparer), (0, 0, "done", shop.preparer)]
    assert shop.one("SELECT last_run_at IS NOT NULL FROM payroll.report_definition")


def test_a_filter_keeps_what_it_names(shop: Company) -> None:
    who, _ = (shop.hire(rate=78000, basis="salary") for _ in range(2))
    shop.finish()
    number = shop.one("SELECT employee_number FROM payroll.employee WHERE employee_id = %s", who)
    made = report(
        shop.connection,
        "register",
        {"columns": ["employee_number"], "filters": {"employee_number": number}},
    )
    assert run(shop.connection, made, shop.preparer) == [{"employee_number": number}]


def test_a_grouped_report_adds_up(shop: Company) -> None:
    for rate in (78000, 52000):
        shop.hire(rate=rate, basis="salary")
    shop.finish()
    made = report(
        shop.connection,
        "register",
        {"columns": ["run_number", "name", "gross"], "group_by": ["run_number"]},
    )
    ((line),) = run(shop.connection, made, shop.preparer)
    assert line["gross"] == 5000
    assert "name" not in line


def led(shop: Company) -> tuple[UUID, list[UUID]]:
    """The account of somebody who leads one of two, who leads another; and all four."""
    boss, lead, below, other = (shop.hire(rate=78000, basis="salary") for _ in range(4))
    account = row(shop.connection, "user_mgmt.user_account")
    shop.connection.execute(
        "UPDATE payroll.employee SET user_account_id = %s WHERE employee_id = %s", [account, boss]
    )
    for manager, who in ((boss, lead), (lead, below)):
        shop.connection.execute(
            "UPDATE payroll.job_assignment SET manager_employee_id = %s WHERE employee_id = %s",
            [manager, who],
        )
    return account, [boss, lead, below, other]


def test_a_manager_sees_the_pay_of_the_whole_line_only(shop: Company) -> None:
    account, people = led(shop)
    shop.finish()
    made = report(
        shop.connection,
        "register",
        {"columns": ["employee_number", "hours", "gross"]},
        visibility="managers",
        masks_pay=True,
    )
    numbers = dict(shop.all("SELECT employee_id, employee_number FROM payroll.employee"))
    shown = {line["employee_number"]: line["gross"] for line in run(shop.connection, made, account)}
    assert shown == {
        **{numbers[who]: 3000.0 for who in people[:3]},
        numbers[people[3]]: None,
    }
    assert shop.one("SELECT row_count, rows_masked FROM payroll.report_run") == (4, 1)


def test_a_masked_pay_is_not_in_a_sum(shop: Company) -> None:
    account, _ = led(shop)
    shop.finish()
    made = report(
        shop.connection,
        "register",
        {"columns": ["run_number", "gross"], "group_by": ["run_number"]},
        visibility="managers",
        masks_pay=True,
    )
    assert [line["gross"] for line in run(shop.connection, made, account)] == [9000]


def test_a_cost_that_names_nobody_is_masked_too(shop: Company) -> None:
    account, _ = led(shop)
    shop.finish()
    costs(shop)
    made = report(
        shop.connection,
        "labor_cost",
        {"columns": ["regular_hours", "gross"]},
        visibility="managers",
        masks_pay=True,
    )
    assert [line["gross"] for line in run(shop.connection, made, account)] == [None]


def test_what_somebody_led_before_is_not_their_line_now(shop: Company) -> None:
    account, people = led(shop)
    shop.connection.execute(
        "UPDATE payroll.job_assignment SET effective_until = '2026-05-04' WHERE employee_id = %s",
        [people[1]],
    )
    line = "SELECT employee_id FROM payroll.line_of(%s, %s) ORDER BY depth"
    assert [w for (w,) in shop.all(line, people[0], "2026-05-03")] == people[:3]
    assert [w for (w,) in shop.all(line, people[0], "2026-05-04")] == people[:1]
    assert account


def test_two_that_lead_each_other_are_one_line(shop: Company) -> None:
    first, second = (shop.hire(rate=78000, basis="salary") for _ in range(2))
    for manager, who in ((first, second), (second, first)):
        shop.connection.execute(
            "UPDATE payroll.job_assignment SET manager_employee_id = %s WHERE employee_id = %s",
            [manager, who],
        )
    found = shop.all("SELECT employee_id, depth FROM payroll.line_of(%s) ORDER BY depth", first)
    assert found == [(first, 0), (second, 1)]


def test_a_private_report_is_not_there_for_another(app: Connection) -> None:
    made = report(app, "register", {"columns": ["net"]}, visibility="private")
    owner = one(app, "SELECT owner_user_account_id FROM payroll.report_definition")
    with pytest.raises(errors.NoDataFound, match="no such report"), app.transaction():
        run(app, made, row(app, "user_mgmt.user_account"))
    assert run(app, made, owner) == []


def test_a_report_out_of_use_does_not_run(app: Connection) -> None:
    made = report(app, "register", {"columns": ["net"]}, is_active=False)
    with pytest.raises(errors.NoDataFound, match="no such report"):
        run(app, made, row(app, "user_mgmt.user_account"))


@pytest.mark.parametrize(("before", "after"), refused(RUN))
def test_a_run_goes_its_way(app: Connection, before: str, after: str) -> None:
    imported(
        app,
        "payroll.report_run",
        status=before,
        finished_at=None if before == "running" else AT,
        error_detail="Out of disk",
    )
    with pytest.raises(errors.DatabaseError, match=r"cannot become|append only"):
        app.execute("UPDATE payroll.report_run SET status = %s", [after])


def test_a_finished_run_stands(app: Connection) -> None:
    row(app, "payroll.report_run")
    app.execute(
        "UPDATE payroll.report_run SET status = 'done', row_count = 3,"
        " finished_at = started_at + interval '1.5 seconds'"
    )
    assert one(app, "SELECT duration_ms FROM payroll.report_run") == 1500
    with pytest.raises(errors.RestrictViolation, match="append only"), app.transaction():
        app.execute("UPDATE payroll.report_run SET row_count = 4")
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("DELETE FROM payroll.report_run")


# Duties.


def filing(connection: Connection, employer: UUID, **given: Any) -> UUID:
    account = row(
        connection,
        "payroll.employer_tax_account",
        employer_entity_id=employer,
        account_number=given.pop("number", "360000000"),
        status="active",
    )
    return imported(
        connection,
        "payroll.tax_filing",
        employer_tax_account_id=account,
        **given,
    )


def plan(connection: Connection, employer: UUID, year: int = 2026) -> int:
    made = one(connection, "SELECT payroll.plan_deadlines(%s, %s)", employer, year)
    assert isinstance(made, int)
    return made


def duties(connection: Connection, columns: str = "duty_code, due_on::text") -> list[Any]:
    return connection.execute(
        f"SELECT {columns} FROM payroll.compliance_deadline ORDER BY due_on, duty_code".encode()
    ).fetchall()


@pytest.fixture
def employer(app: Connection) -> UUID:
    return row(app, "payroll.employer_entity", is_applicable_large_employer=False)


def test_a_small_employer_owes_forms_and_posters(app: Connection, employer: UUID) -> None:
    assert plan(app, employer) == 3
    # The last day of January 2026 is a Saturday.
    assert duties(app) == [
        ("POSTER", "2026-01-15"),
        ("1099NEC", "2026-02-02"),
        ("W2", "2026-02-02"),
    ]


def test_a_large_employer_owes_aca_and_eeo_too(app: Connection, employer: UUID) -> None:
    app.execute("UPDATE payroll.employer_entity SET is_applicable_large_employer = true")
    assert plan(app, employer) == 6
    assert {"1095C", "1094C", "EEO1"} < {code for code, _ in duties(app)}


def test_a_calendar_planned_again_is_the_same(app: Connection, employer: UUID) -> None:
    filing(app, employer)
    assert plan(app, employer) == 4
    before = duties(app, "compliance_deadline_id, updated_at")
    assert plan(app, employer) == 0
    assert [key for key, _ in duties(app, "compliance_deadline_id, 1")] == [k for k, _ in before]


def test_what_was_filed_last_year_is_due_again(app: Connection, employer: UUID) -> None:
    filing(
        app,
        employer,
        tax_year=2025,
        period_start="2025-01-01",
        period_end="2025-03-31",
        due_on="2025-04-30",
        status="accepted",
        filed_at="2025-04-20",
        submission_id="S-1",
    )
    plan(app, employer)
    assert ("RET-941-360000000", "2026-04-30") in duties(app)
    assert duties(app, "tax_filing_id IS NULL")[-1] == (True,)


def test_a_foreseen_return_gets_its_document(app: Connection, employer: UUID) -> None:
    row(
        app,
        "payroll.compliance_deadline",
        employer_entity_id=employer,
        duty_code="RET-941-360000000",
        period_end="2026-03-31",
        due_on="2026-04-29",
    )
    made = filing(app, employer)
    plan(app, employer)
    found = duties(app, "tax_filing_id, due_on::text")
    assert (made, "2026-04-30") in found
    assert len([key for key, _ in found if key]) == 1


def test_a_return_that_is_filed_closes_its_deadline(app: Connection, employer: UUID) -> None:
    made = filing(app, employer, status="ready")
    plan(app, employer)
    go = "UPDATE payroll.tax_filing SET status = %s, filed_at = '2026-04-20 12:00+00',"
    go += " submission_id = 'S-1', rejection_codes = '{R0000}' WHERE tax_filing_id = %s"
    state = "SELECT status, completed_on::text FROM payroll.compliance_deadline"
    state += " WHERE tax_filing_id IS NOT NULL"
    app.execute("RESET ROLE")
    app.execute(go.encode(), ["filed", made])
    assert one(app, state) == ("done", "2026-04-20")
    app.execute(go.encode(), ["rejected", made])
    assert one(app, state) == ("in_progress", None)


def test_a_deposit_that_settles_closes_its_deadline(app: Connection, employer: UUID) -> None:
    account = row(app, "payroll.employer_tax_account", employer_entity_id=employer)
    made = imported(
        app,
        "payroll.tax_deposit",
        employer_tax_account_id=account,
        status="accepted",
        initiated_at="2026-02-16 12:00+00",
        confirmation_number="1",
    )
    plan(app, employer)
    app.execute("RESET ROLE")
    app.execute(
        "UPDATE payroll.tax_deposit SET status = 'settled', settled_on = '2026-02-17'"
        " WHERE tax_deposit_id = %s",
        [made],
    )
    assert one(
        app,
        "SELECT status, completed_on::text, penalty_risk_amount"
        " FROM payroll.compliance_deadline WHERE tax_deposit_id = %s",
        made,
    ) == ("done", "2026-02-17", 10)


def test_a_hire_is_reported_by_its_day(app: Connection, employer: UUID) -> None:
    somebody = hire(app)
    app.execute("UPDATE payroll.employee SET employee_number = '10007'")
    row(
        app,
        "payroll.new_hire_report",
        employee_id=somebody.person,
        employment_spell_id=one(app, "SELECT employment_spell_id FROM payroll.employment_spell"),
        due_on="2026-02-04",
    )
    plan(app, somebody.employer, 2024)
    assert any(code == "NEWHIRE-10007" for code, _ in duties(app))


@pytest.mark.parametrize(
    ("status", "today", "becomes"),
    [
        ("upcoming", "2026-05-20", "upcoming"),
        ("upcoming", "2026-05-21", "late"),
        ("in_progress", "2026-05-21", "late"),
        ("not_applicable", "2026-05-21", "not_applicable"),
    ],
)
def test_what_was_due_before_today_is_late(
    app: Connection, status: str, today: str, becomes: str
) -> None:
    imported(app, "payroll.compliance_deadline", status=status, note="Not us")
    app.execute("SELECT payroll.note_late_deadlines(%s)", [today])
    assert duties(app, "status") == [(becomes,)]


def test_the_calendar_does_not_wait_for_the_night(app: Connection) -> None:
    for day in ("2026-05-03", "2026-05-04", "2026-06-03", "2026-06-04"):
        row(app, "payroll.compliance_deadline", due_on=day)
    found = app.execute(
        "SELECT days_left, state FROM payroll.compliance_calendar('2026-05-04')"
    ).fetchall()
    assert found == [(-1, "late"), (0, "upcoming"), (30, "upcoming")]


def test_a_reminder_comes_on_its_days(app: Connection) -> None:
    row(app, "payroll.compliance_deadline")
    told = {
        day: app.execute(
            "SELECT days_left, is_last FROM payroll.due_reminders(%s)", [f"2026-05-{day:02}"]
        ).fetchall()
        for day in range(1, 22)
    }
    assert {day: rows for day, rows in told.items() if rows} == {
        6: [(14, False)],
        17: [(3, True)],
    }


@pytest.mark.parametrize(("before", "after"), refused(DEADLINE))
def test_a_duty_goes_its_way(app: Connection, before: str, after: str) -> None:
    imported(
        app,
        "payroll.compliance_deadline",
        status=before,
        note="Not us",
        completed_on="2026-05-04" if before == "done" else None,
    )
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE payroll.compliance_deadline SET status = %s", [after])
