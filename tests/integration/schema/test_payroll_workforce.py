"""Employers, places and people keep to what their rows ask for; starts and ends have dates."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import hire, period

I9 = {
    "section1_signed_on": "2026-05-04",
    "section2_signed_on": "2026-05-06",
    "list_kind": "list_a",
    "document_titles": ["U.S. Passport"],
    "status": "complete",
}


def one(connection: Connection, statement: str, *values: Any) -> Any:
    found = connection.execute(statement.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("employer_entity", {"ein": "12-345678"}, "ein_is_nine_digits"),
        ("employer_entity", {"naics_code": "x"}, "naics_shape"),
        ("employer_entity", {"deposit_lookback_amount": 0}, "limits_positive"),
        ("employer_entity", {"i9_section2_days": 0}, "i9_limits_positive"),
        ("employer_entity", {"entity_kind": "club"}, "kind_known"),
        ("employer_entity", {"form_type": "940"}, "form_type_known"),
        ("employer_entity", {"deposit_frequency": "weekly"}, "deposit_frequency_known"),
        ("employer_entity", {"status": "gone"}, "status_known"),
        ("work_location", {"state_code": "Illinois"}, "state_is_two_letters"),
        (
            "work_location",
            {"opened_on": "2026-01-01", "closed_on": "2025-01-01"},
            "closes_after_opening",
        ),
        ("work_location", {"tipped_minimum_wage_amount": 16}, "tipped_wage_within_wage"),
        ("work_location", {"exempt_weekly_minimum_amount": 0}, "exempt_minimum_positive"),
        ("work_location", {"final_pay_quit_days": -1}, "final_pay_days_not_negative"),
        ("work_location", {"new_hire_report_days": 21}, "new_hire_report_within_20_days"),
        ("work_location", {"schedule_notice_hours": 336}, "short_notice_is_paid"),
        (
            "work_location",
            {"schedule_notice_hours": 336, "predictability_pay_hours": 0},
            "notice_positive",
        ),
        ("department", {"budget_annual_amount": -1}, "budget_not_negative"),
        ("department", {"effective_until": "2020-01-01"}, "ends_after_start"),
        ("job_profile", {"flsa_status": "exempt"}, "exempt_by_a_test"),
        ("job_profile", {"exemption_test": "computer"}, "exempt_by_a_test"),
        (
            "job_profile",
            {"flsa_status": "exempt", "exemption_test": "executive", "is_tipped": True},
            "tipped_is_nonexempt",
        ),
        (
            "job_profile",
            {"pay_range_min_amount": 2, "pay_range_max_amount": 1},
            "pay_range_ordered",
        ),
        ("job_profile", {"soc_code": "351011"}, "soc_shape"),
        ("contractor", {"status": "ended"}, "ended_has_date"),
        ("contractor", {"started_on": "2026-01-02", "ended_on": "2026-01-01"}, "ends_after_start"),
        (
            "contractor",
            {"w9_received_on": "2026-01-02", "tax_id_token": None},
            "w9_brings_a_number",
        ),
        ("contractor", {"payment_terms_days": -1}, "terms_not_negative"),
        ("contractor", {"tax_id_kind": "vat"}, "tax_id_kind_known"),
        ("employee", {"ssn_token": "vault:ssn/1"}, "ssn_known_by_its_last_four"),
        (
            "employee",
            {"ssn_token": "vault:ssn/1", "ssn_last4": "123"},
            "ssn_known_by_its_last_four",
        ),
        ("employee", {"employee_number": "E 1"}, "number_is_visible"),
        ("employee", {"status": "asleep"}, "status_known"),
        ("employment_spell", {"terminated_on": "2026-06-01"}, "end_has_kind"),
        ("employment_spell", {"termination_kind": "layoff"}, "end_has_kind"),
        (
            "employment_spell",
            {"terminated_on": "2026-05-01", "termination_kind": "layoff"},
            "ends_after_hire",
        ),
        ("employment_spell", {"original_hire_on": "2026-05-05"}, "first_hire_first"),
        (
            "employment_spell",
            {
                "terminated_on": "2026-06-01",
                "termination_kind": "layoff",
                "last_day_worked": "2026-06-02",
            },
            "last_work_before_end",
        ),
        (
            "employment_spell",
            {
                "terminated_on": "2026-06-01",
                "termination_kind": "layoff",
                "final_pay_due_on": "2026-05-30",
            },
            "final_pay_follows_end",
        ),
        (
            "employment_spell",
            {
                "terminated_on": "2026-06-01",
                "termination_kind": "voluntary",
                "notice_given_on": "2026-06-02",
            },
            "notice_before_end",
        ),
        ("employment_spell", {"severance_weeks": -1}, "severance_not_negative"),
        ("employee_residence", {"state_code": "il"}, "state_is_two_letters"),
        ("employee_residence", {"effective_until": "2020-01-01"}, "ends_after_start"),
        ("employment_eligibility", {"status": "complete"}, "complete_is_signed"),
        (
            "employment_eligibility",
            {"section2_signed_on": "2026-05-05", "list_kind": "list_b_and_c"},
            "documents_of_their_list",
        ),
        (
            "employment_eligibility",
            {"citizenship_status": "authorized_alien", "document_expires_on": "2027-01-01"},
            "permit_is_seen_again",
        ),
        (
            "employment_eligibility",
            {"document_expires_on": "2027-01-01", "reverify_due_on": "2027-01-02"},
            "seen_again_in_time",
        ),
        (
            "employment_eligibility",
            {"everify_result": "employment_authorized"},
            "case_when_run",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"payroll.{table}", **columns)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("employer_entity", {"ein": "123456789"}),
        ("work_location", {"code": "MAIN"}),
        ("department", {"code": "OPS"}),
        ("job_profile", {"job_code": "COOK"}),
        ("employee", {"employee_number": "E-1"}),
        ("contractor", {"contractor_number": "C-1"}),
    ],
)
def test_a_code_names_one_thing(app: Connection, table: str, columns: dict[str, Any]) -> None:
    row(app, f"payroll.{table}", **columns)
    with pytest.raises(errors.UniqueViolation):
        row(app, f"payroll.{table}", **columns)


def test_a_state_does_not_ask_for_less_than_federal_law(app: Connection) -> None:
    employer = row(app, "payroll.employer_entity", federal_minimum_wage_amount=9)
    row(app, "payroll.work_location", employer_entity_id=employer, minimum_wage_amount=9)
    with pytest.raises(errors.CheckViolation, match="below the federal"):
        row(app, "payroll.work_location", employer_entity_id=employer, minimum_wage_amount=8.99)


def test_when_the_law_rises_the_row_rises(app: Connection) -> None:
    employer = row(app, "payroll.employer_entity", federal_minimum_wage_amount=9)
    place = row(app, "payroll.work_location", employer_entity_id=employer, minimum_wage_amount=9)
    app.execute("UPDATE payroll.work_location SET minimum_wage_amount = 10")
    with pytest.raises(errors.CheckViolation, match="below the federal"):
        app.execute(
            "UPDATE payroll.work_location SET minimum_wage_amount = 8 WHERE work_location_id = %s",
            [place],
        )


@pytest.mark.parametrize(
    ("taxes", "limit", "frequency"),
    [
        (0, 50000, "monthly"),
        (50000, 50000, "monthly"),
        (50001, 50000, "semiweekly"),
        (50001, 60000, "monthly"),
    ],
)
def test_the_lookback_period_decides_how_often_taxes_are_deposited(
    app: Connection, taxes: int, limit: int, frequency: str
) -> None:
    employer = row(app, "payroll.employer_entity", deposit_lookback_amount=limit)
    statement = "SELECT payroll.lookback_deposit_frequency(%s, %s)"
    assert one(app, statement, employer, taxes) == frequency


def test_a_department_is_not_above_itself(app: Connection) -> None:
    top = row(app, "payroll.department")
    middle = row(app, "payroll.department", parent_department_id=top)
    low = row(app, "payroll.department", parent_department_id=middle)
    with pytest.raises(errors.CheckViolation, match="above itself"):
        app.execute(
            "UPDATE payroll.department SET parent_department_id = %s WHERE department_id = %s",
            [low, top],
        )


def test_a_department_may_move(app: Connection) -> None:
    top, other = row(app, "payroll.department"), row(app, "payroll.department")
    low = row(app, "payroll.department", parent_department_id=top)
    app.execute(
        "UPDATE payroll.department SET parent_department_id = %s WHERE department_id = %s",
        [other, low],
    )
    assert one(
        app, "SELECT parent_department_id FROM payroll.department WHERE department_id = %s", low
    ) == (other)


@pytest.mark.parametrize(
    ("columns", "paid"),
    [
        ({"status": "active", "w9_received_on": None}, False),
        ({"status": "active", "tax_id_token": "vault:t/1", "w9_received_on": "2026-05-01"}, True),
        ({"status": "active", "tax_id_token": "vault:t/1", "w9_received_on": "2026-06-02"}, False),
        ({"status": "active", "w9_received_on": None, "backup_withholding": True}, True),
        ({"status": "onboarding", "backup_withholding": True}, False),
    ],
)
def test_a_contractor_is_paid_with_a_w9_or_with_tax_held_back(
    app: Connection, columns: dict[str, Any], paid: bool
) -> None:
    contractor = row(app, "payroll.contractor", **columns)
    statement = "SELECT payroll.contractor_may_be_paid(%s, '2026-06-01')"
    assert one(app, statement, contractor) is paid


def test_a_number_of_social_security_is_used_once_by_an_employer(app: Connection) -> None:
    somebody = hire(app)
    ssn = {"ssn_token": "vault:ssn/1", "ssn_last4": "1234"}
    row(app, "payroll.employee", employer_entity_id=somebody.employer, **ssn)
    row(app, "payroll.employee", **ssn)
    with pytest.raises(errors.UniqueViolation):
        row(app, "payroll.employee", employer_entity_id=somebody.employer, **ssn)


def test_a_number_is_never_stored_itself(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="vault_ref"):
        row(app, "payroll.employee", ssn_token="123-45-6789", ssn_last4="6789")


def test_nobody_is_employed_twice_at_once(app: Connection) -> None:
    person = row(app, "payroll.employee")
    ended = {"terminated_on": "2025-06-30", "termination_kind": "voluntary"}
    row(app, "payroll.employment_spell", employee_id=person, hired_on="2025-01-01", **ended)
    row(app, "payroll.employment_spell", employee_id=person, hired_on="2025-07-01")
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        row(app, "payroll.employment_spell", employee_id=person, hired_on="2026-01-01")


@pytest.mark.parametrize(("born", "held"), [("2012-05-04", True), ("2012-05-05", False)])
def test_nobody_is_hired_too_young(app: Connection, born: str, held: bool) -> None:
    person = row(app, "payroll.employee", birth_date=born)
    if held:
        row(app, "payroll.employment_spell", employee_id=person, hired_on="2026-05-04")
        return
    with pytest.raises(errors.CheckViolation, match="younger than 14"):
        row(app, "payroll.employment_spell", employee_id=person, hired_on="2026-05-04")


def test_a_birthday_is_not_corrected_to_have_been_too_young(app: Connection) -> None:
    somebody = hire(app)
    with pytest.raises(errors.CheckViolation, match="younger than"):
        app.execute(
            "UPDATE payroll.employee SET birth_date = '2012-01-01' WHERE employee_id = %s",
            [somebody.person],
        )


def test_an_employer_may_hire_only_grown_people(app: Connection) -> None:
    employer = row(app, "payroll.employer_entity", minimum_hiring_age_years=18)
    person = row(app, "payroll.employee", birth_date="2010-01-01")
    with pytest.raises(errors.CheckViolation, match="younger than 18"):
        row(app, "payroll.employment_spell", employee_id=person, employer_entity_id=employer)


@pytest.mark.parametrize(
    ("on", "months"),
    [("2024-01-14", None), ("2024-01-15", 0), ("2026-05-14", 27), ("2026-05-15", 28)],
)
def test_service_is_counted_in_whole_months(app: Connection, on: str, months: int | None) -> None:
    statement = "SELECT payroll.service_months(%s, %s)"
    assert one(app, statement, hire(app).person, on) == months


def test_service_of_earlier_years_may_be_bridged(app: Connection) -> None:
    somebody = hire(app)
    app.execute("UPDATE payroll.employment_spell SET adjusted_service_on = '2020-01-15'")
    statement = "SELECT payroll.service_months(%s, '2024-01-15')"
    assert one(app, statement, somebody.person) == 48


@pytest.mark.parametrize(
    ("kind", "place", "due"),
    [
        ("involuntary", {"final_pay_discharge_days": 0}, date(2026, 5, 6)),
        ("layoff", {"final_pay_discharge_days": 1}, date(2026, 5, 7)),
        ("voluntary", {"final_pay_discharge_days": 0, "final_pay_quit_days": 3}, date(2026, 5, 9)),
        ("voluntary", {"final_pay_discharge_days": 0}, date(2026, 5, 10)),
        ("death", {}, date(2026, 5, 10)),
    ],
)
def test_final_pay_follows_the_state(
    app: Connection, kind: str, place: dict[str, int], due: date
) -> None:
    somebody = hire(app, place=place)
    period(app, somebody.employer)
    spell = one(
        app,
        "SELECT payroll.terminate_employee(%s, '2026-05-06', %s)",
        somebody.person,
        kind,
    )
    statement = "SELECT final_pay_due_on FROM payroll.employment_spell WHERE employment_spell_id=%s"
    assert one(app, statement, spell) == due


def test_an_end_that_is_taken_back_leaves_no_final_pay(app: Connection) -> None:
    somebody = hire(app, place={"final_pay_quit_days": 3})
    app.execute(
        "SELECT payroll.terminate_employee(%s, '2026-05-06', 'voluntary')", [somebody.person]
    )
    app.execute(
        "UPDATE payroll.employment_spell SET terminated_on = NULL, termination_kind = NULL,"
        " last_day_worked = NULL"
    )
    assert one(app, "SELECT final_pay_due_on FROM payroll.employment_spell") is None


def test_with_the_employment_end_jobs_and_rates(app: Connection) -> None:
    somebody = hire(app)
    app.execute(
        "SELECT payroll.terminate_employee(%s, '2026-05-06', 'voluntary', 'Moved away')",
        [somebody.person],
    )
    ends = one(
        app,
        "SELECT a.effective_until, r.effective_until, p.status FROM payroll.job_assignment AS a"
        " JOIN payroll.compensation_rate AS r USING (business_id, job_assignment_id)"
        " JOIN payroll.employee AS p USING (business_id, employee_id)",
    )
    assert ends == (date(2026, 5, 7), date(2026, 5, 7), "terminated")


def test_who_is_not_employed_does_not_leave(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="not employed"):
        app.execute(
            "SELECT payroll.terminate_employee(%s, '2026-05-06', 'voluntary')",
            [row(app, "payroll.employee")],
        )


def test_one_home_at_a_time(app: Connection) -> None:
    person = row(app, "payroll.employee")
    home = {"employee_id": person, "state_code": "IL"}
    row(app, "payroll.employee_residence", effective_until="2026-06-01", **home)
    row(app, "payroll.employee_residence", effective_from="2026-06-01", **home)
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        row(app, "payroll.employee_residence", effective_from="2026-05-20", **home)


def test_a_home_by_self_service_was_asked_for_and_approved(app: Connection) -> None:
    person = row(app, "payroll.employee")
    asked = row(
        app,
        "payroll.profile_change_request",
        employee_id=person,
        change_kind="address",
        status="submitted",
        old_values="{}",
        new_values="{}",
    )
    home = {"employee_id": person, "source": "self_service"}
    with (
        pytest.raises(errors.CheckViolation, match="no approved change of address"),
        app.transaction(),
    ):
        row(app, "payroll.employee_residence", **home)
    app.execute("RESET ROLE")
    app.execute(
        "UPDATE payroll.profile_change_request SET status = 'approved', reviewed_at = now(),"
        " reviewed_by = %s WHERE profile_change_request_id = %s",
        [row(app, "user_mgmt.user_account"), asked],
    )
    app.execute("SET LOCAL ROLE app_user")
    assert row(app, "payroll.employee_residence", **home)


def test_an_imported_home_may_have_come_by_self_service(app: Connection) -> None:
    assert imported(app, "payroll.employee_residence", source="self_service")


def form(connection: Connection, hired_on: str = "2026-05-04", **given: Any) -> UUID:
    person = row(connection, "payroll.employee")
    row(connection, "payroll.employment_spell", employee_id=person, hired_on=hired_on)
    columns = {"verified_by": row(connection, "user_mgmt.user_account"), **I9, **given}
    return row(connection, "payroll.employment_eligibility", employee_id=person, **columns)


def test_a_form_is_due_with_the_hire_and_three_working_days_later(app: Connection) -> None:
    made = form(app, "2026-05-07")  # a Thursday
    statement = (
        "SELECT section1_due_on, section2_due_on, retention_until, is_late"
        " FROM payroll.employment_eligibility WHERE employment_eligibility_id = %s"
    )
    assert one(app, statement, made) == (
        date(2026, 5, 7),
        date(2026, 5, 12),
        date(2029, 5, 7),
        False,
    )


@pytest.mark.parametrize(
    ("columns", "late"),
    [
        ({"section1_signed_on": "2026-05-05"}, True),
        ({"section2_signed_on": "2026-05-07"}, False),
        ({"section2_signed_on": "2026-05-08"}, True),
    ],
)
def test_a_late_signature_is_told(app: Connection, columns: dict[str, str], late: bool) -> None:
    form(app, **columns)
    assert one(app, "SELECT is_late FROM payroll.employment_eligibility") is late


def test_a_form_is_kept_longer_when_its_employee_stays_long(app: Connection) -> None:
    form(app, "2020-05-04", section1_signed_on="2020-05-04", section2_signed_on="2020-05-05")
    app.execute(
        "UPDATE payroll.employment_spell SET terminated_on = '2026-05-01',"
        " termination_kind = 'retirement'"
    )
    found = one(app, "SELECT retention_until FROM payroll.employment_eligibility")
    assert found == date(2027, 5, 1)


def test_a_report_of_a_hire_is_due_when_the_state_wants_it(app: Connection) -> None:
    somebody = hire(app, place={"new_hire_report_days": 7})
    spell = one(app, "SELECT employment_spell_id FROM payroll.employment_spell")
    known = {"employee_id": somebody.person, "employment_spell_id": spell}
    row(app, "payroll.new_hire_report", **known)
    assert one(app, "SELECT due_on FROM payroll.new_hire_report") == date(2024, 1, 22)
    with pytest.raises(errors.UniqueViolation):
        row(app, "payroll.new_hire_report", **known)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"status": "submitted"}, "submitted_has_date"),
        ({"status": "rejected"}, "rejected_has_reason"),
        ({"method": "phone"}, "method_known"),
    ],
)
def test_a_report_says_what_became_of_it(
    app: Connection, columns: dict[str, str], truth: str
) -> None:
    somebody = hire(app)
    spell = one(app, "SELECT employment_spell_id FROM payroll.employment_spell")
    with pytest.raises(errors.CheckViolation, match=truth):
        row(
            app,
            "payroll.new_hire_report",
            employee_id=somebody.person,
            employment_spell_id=spell,
            **columns,
        )


def test_a_report_tells_of_a_hire_of_its_employee(app: Connection) -> None:
    spell = row(app, "payroll.employment_spell")
    with pytest.raises(errors.CheckViolation, match="not one of the reported employee"):
        row(app, "payroll.new_hire_report", employment_spell_id=spell)
