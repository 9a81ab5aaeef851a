"""A timesheet is what the punches say: paired, rounded, divided by the better rule, and proven."""

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
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import MONDAY, Hire, earning_codes, hire, period, punch
from tests.integration.schema.states import refused

LATER = "2026-06-01 00:00+00"
SENT = {"submitted_at": "2026-05-10 10:00+00", "approved_at": "2026-05-11 10:00+00"}
MACHINE = {
    "open": ["submitted"],
    "submitted": ["approved", "rejected"],
    "rejected": ["submitted"],
    "approved": ["locked", "rejected"],
    "locked": ["amended"],
    "amended": ["locked"],
}


@pytest.fixture
def codes(app: Connection) -> dict[str, UUID]:
    return earning_codes(app)


@pytest.fixture
def somebody(app: Connection, codes: dict[str, UUID]) -> Hire:
    row(app, "payroll.overtime_rule", code="FLSA", effective_from="2024-01-01")
    return hire(app)


def build(connection: Connection, somebody: Hire, span: UUID | None = None) -> UUID:
    span = span or period(connection, somebody.employer)
    found = connection.execute(
        "SELECT payroll.build_timesheet(%s, %s, %s)", [somebody.person, span, LATER]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def day(connection: Connection, somebody: Hire, on: str, start: str, end: str) -> None:
    punch(connection, somebody.person, ("in", f"{on} {start}"), ("out", f"{on} {end}"))


def entries(connection: Connection) -> list[tuple[Any, ...]]:
    found = connection.execute(
        "SELECT extract(day FROM e.work_date)::integer, e.entry_kind, e.hours, k.code"
        " FROM payroll.timesheet_entry AS e JOIN payroll.earning_code AS k"
        " USING (business_id, earning_code_id) ORDER BY e.work_date, e.started_at, e.entry_kind,"
        " k.code"
    ).fetchall()
    return [(d, kind, float(hours), code) for d, kind, hours, code in found]


def sums(connection: Connection) -> tuple[float, ...]:
    found = connection.execute(
        "SELECT regular_hours, overtime_hours, doubletime_hours, pto_hours, holiday_hours,"
        " unpaid_hours FROM payroll.timesheet"
    ).fetchone()
    assert found
    return tuple(map(float, found))


def raised(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT kind, minutes, status FROM payroll.attendance_exception ORDER BY kind"
    ).fetchall()


def differences(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT * FROM payroll.timesheet_differences()").fetchall()


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("timesheet", {"regular_hours": -1}, "hours_not_negative"),
        (
            "timesheet",
            {"submitted_at": "2026-05-04 10:00+00", "approved_at": "2026-05-04 09:00+00"},
            "approved_after_submission",
        ),
        ("timesheet", {"status": "submitted", "submitted_at": None}, "submitted_has_time"),
        (
            "timesheet",
            {"status": "approved", "submitted_at": "2026-05-04 10:00+00"},
            "approved_has_time",
        ),
        ("timesheet", {"status": "rejected", **SENT}, "rejected_has_reason"),
        ("timesheet_entry", {"hours": 0}, "hours_of_a_day"),
        ("timesheet_entry", {"hours": 24.01}, "hours_of_a_day"),
        (
            "timesheet_entry",
            {"started_at": "2026-05-04 10:00+00", "ended_at": "2026-05-04 10:00+00"},
            "ends_after_start",
        ),
        ("timesheet_entry", {"is_manual": True}, "manual_says_why"),
        ("timesheet_entry", {"piece_count": -1}, "pieces_not_negative"),
        ("timesheet_entry", {"entry_kind": "lunch"}, "kind_known"),
        ("attendance_exception", {"minutes": -1}, "minutes_not_negative"),
        ("attendance_exception", {"points": 3.5}, "points_bounded"),
        (
            "attendance_exception",
            {"points": 1, "status": "excused", "resolved_at": "2026-12-31 10:00+00"},
            "points_for_unexcused",
        ),
        ("attendance_exception", {"status": "excused"}, "resolved_has_time"),
        (
            "attendance_exception",
            {"status": "excused", "resolved_at": "2026-05-04 10:00+00"},
            "resolved_after_detection",
        ),
        (
            "attendance_exception",
            {"kind": "missed_meal", "status": "waived", "resolved_at": "2030-01-01 10:00+00"},
            "meal_waived_with_consent",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        imported(app, f"payroll.{table}", **columns)


def sheet_in(connection: Connection, status: str) -> UUID:
    return imported(
        connection,
        "payroll.timesheet",
        status=status,
        **SENT,
        rejection_reason="Hours are missing" if status == "rejected" else None,
    )


def move(connection: Connection, sheet: UUID, status: str) -> None:
    connection.execute(
        "UPDATE payroll.timesheet SET status = %s, rejection_reason = 'Hours are missing'"
        " WHERE timesheet_id = %s",
        [status, sheet],
    )


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, nexts in MACHINE.items() for a in nexts]
)
def test_a_sheet_goes_its_way(app: Connection, before: str, after: str) -> None:
    sheet = sheet_in(app, before)
    move(app, sheet, after)
    assert app.execute("SELECT status FROM payroll.timesheet").fetchone() == (after,)


@pytest.mark.parametrize(("before", "after"), refused(MACHINE))
def test_a_sheet_goes_no_other_way(app: Connection, before: str, after: str) -> None:
    sheet = sheet_in(app, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, sheet, after)


@pytest.mark.parametrize("status", sorted(set(MACHINE) - {"open"}))
def test_a_sheet_begins_open(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, "payroll.timesheet", status=status, rejection_reason="x", **SENT)


def test_a_sheet_is_rejected_for_a_reason(app: Connection) -> None:
    sheet_in(app, "submitted")
    with pytest.raises(errors.CheckViolation, match="rejected_has_reason"):
        app.execute("UPDATE payroll.timesheet SET status = 'rejected'")


def test_times_follow_the_way_of_a_sheet(app: Connection, account: UUID) -> None:
    sheet = row(app, "payroll.timesheet")
    times = "SELECT submitted_at = now(), approved_at = now(), approved_by FROM payroll.timesheet"
    move(app, sheet, "submitted")
    assert app.execute(times.encode()).fetchone() == (True, None, None)
    app.execute("UPDATE payroll.timesheet SET status = 'approved', approved_by = %s", [account])
    assert app.execute(times.encode()).fetchone() == (True, True, account)
    move(app, sheet, "rejected")
    assert app.execute(times.encode()).fetchone() == (True, None, None)


def test_nobody_approves_their_own_hours(app: Connection, account: UUID) -> None:
    person = row(app, "payroll.employee", user_account_id=account)
    sheet = row(app, "payroll.timesheet", employee_id=person)
    move(app, sheet, "submitted")
    with pytest.raises(errors.CheckViolation, match="their own"):
        app.execute("UPDATE payroll.timesheet SET status = 'approved', approved_by = %s", [account])


@pytest.mark.parametrize(
    ("kind", "status", "held"),
    [
        ("missing_punch", "open", False),
        ("missing_punch", "excused", True),
        ("late_in", "open", True),
    ],
)
def test_hours_that_nobody_knows_are_not_approved(
    app: Connection, kind: str, status: str, held: bool
) -> None:
    sheet = row(app, "payroll.timesheet")
    row(
        app,
        "payroll.attendance_exception",
        timesheet_id=sheet,
        kind=kind,
        status=status,
        detected_at="2026-05-05 10:00+00",
        resolved_at=None if status == "open" else "2026-05-06 10:00+00",
    )
    move(app, sheet, "submitted")
    if held:
        move(app, sheet, "approved")
        return
    with pytest.raises(errors.CheckViolation, match="lacks a punch"):
        move(app, sheet, "approved")


def test_a_locked_sheet_changes_by_being_amended(app: Connection) -> None:
    sheet = sheet_in(app, "locked")
    with pytest.raises(errors.CheckViolation, match="is locked"), app.transaction():
        app.execute("UPDATE payroll.timesheet SET attestation_answer = 'No'")
    move(app, sheet, "amended")
    app.execute("UPDATE payroll.timesheet SET attestation_answer = 'No'")
    move(app, sheet, "locked")


def enter(connection: Connection, sheet: UUID, **given: Any) -> UUID:
    columns = {"work_date": MONDAY, **given}
    return row(connection, "payroll.timesheet_entry", timesheet_id=sheet, **columns)


@pytest.mark.parametrize(
    ("status", "held"),
    [
        ("open", True),
        ("submitted", True),
        ("rejected", True),
        ("amended", True),
        ("approved", False),
        ("locked", False),
    ],
)
@pytest.mark.parametrize("change", ["insert", "update", "delete"])
def test_entries_stand_once_they_are_approved(
    app: Connection, codes: dict[str, UUID], status: str, held: bool, change: str
) -> None:
    span = period(app, row(app, "payroll.employer_entity"))
    sheet = imported(
        app,
        "payroll.timesheet",
        pay_period_id=span,
        status=status,
        **SENT,
        rejection_reason="Hours are missing",
    )
    code = {"earning_code_id": codes["regular"]}
    imported(app, "payroll.timesheet_entry", timesheet_id=sheet, work_date=MONDAY, **code)

    def work() -> None:
        if change == "insert":
            enter(app, sheet, **code)
        elif change == "update":
            app.execute("UPDATE payroll.timesheet_entry SET hours = 7")
        else:
            app.execute("DELETE FROM payroll.timesheet_entry")

    if held:
        work()
        assert differences(app) == []
        return
    with pytest.raises(errors.CheckViolation, match="its entries stand"):
        work()


@pytest.mark.parametrize(
    ("on", "held"),
    [("2026-05-03", False), (MONDAY, True), ("2026-05-10", True), ("2026-05-11", False)],
)
def test_an_entry_is_a_day_of_its_period(
    app: Connection, codes: dict[str, UUID], on: str, held: bool
) -> None:
    span = period(app, row(app, "payroll.employer_entity"))
    sheet = row(app, "payroll.timesheet", pay_period_id=span)
    if held:
        enter(app, sheet, work_date=on, earning_code_id=codes["regular"])
        return
    with pytest.raises(errors.CheckViolation, match="outside of the pay period"):
        enter(app, sheet, work_date=on, earning_code_id=codes["regular"])


@pytest.mark.parametrize(
    ("kind", "code", "place"),
    [
        ("regular", "regular", 0),
        ("training", "regular", 0),
        ("travel", "regular", 0),
        ("on_call", "regular", 0),
        ("overtime", "overtime", 1),
        ("doubletime", "doubletime", 2),
        ("pto", "pto", 3),
        ("holiday", "holiday", 4),
        ("pto", "unpaid", 5),
        ("meal_penalty", "premium", None),
        ("regular", "premium", None),
    ],
)
def test_hours_are_summed_by_their_kind(
    app: Connection, codes: dict[str, UUID], kind: str, code: str, place: int | None
) -> None:
    codes["unpaid"] = row(
        app, "payroll.earning_code", code="UNPAID", earning_kind="pto", multiplier=0
    )
    span = period(app, row(app, "payroll.employer_entity"))
    sheet = row(app, "payroll.timesheet", pay_period_id=span)
    given = {"entry_kind": kind, "earning_code_id": codes[code]}
    enter(app, sheet, hours=3, **given)
    enter(app, sheet, hours=2, **given)
    assert sums(app) == tuple(5.0 if n == place else 0.0 for n in range(6))
    app.execute("UPDATE payroll.timesheet_entry SET hours = 1 WHERE hours = 2")
    assert sums(app) == tuple(4.0 if n == place else 0.0 for n in range(6))
    app.execute("DELETE FROM payroll.timesheet_entry WHERE hours = 1")
    assert sums(app) == tuple(3.0 if n == place else 0.0 for n in range(6))
    assert differences(app) == []


def test_a_sheet_that_does_not_say_what_its_entries_say_is_found(app: Connection) -> None:
    sheet = row(app, "payroll.timesheet")
    app.execute("UPDATE payroll.timesheet SET overtime_hours = 5")
    assert [found[0] for found in differences(app)] == [sheet]


def test_an_entry_stays_on_its_sheet(app: Connection, codes: dict[str, UUID]) -> None:
    span = period(app, row(app, "payroll.employer_entity"))
    sheets = [row(app, "payroll.timesheet", pay_period_id=span) for _ in range(2)]
    enter(app, sheets[0], earning_code_id=codes["regular"])
    with pytest.raises(errors.RestrictViolation):
        app.execute("UPDATE payroll.timesheet_entry SET timesheet_id = %s", [sheets[1]])


def test_two_who_enter_at_once_are_both_summed(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        code = earning_codes(connection)["regular"]
        somebody = hire(connection)
        sheet = row(
            connection,
            "payroll.timesheet",
            employee_id=somebody.person,
            pay_period_id=period(connection, somebody.employer),
        )
        given = {"job_assignment_id": somebody.job, "earning_code_id": code}
    at_once(target, tenant, 4, lambda c, number: enter(c, sheet, hours=number + 1, **given))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert sums(connection)[0] == 10
        assert differences(connection) == []


def test_a_day_is_an_entry(app: Connection, somebody: Hire) -> None:
    day(app, somebody, MONDAY, "09:00", "17:00")
    build(app, somebody)
    assert entries(app) == [(4, "regular", 8.0, "REGULAR")]
    assert sums(app)[0] == 8
    found = app.execute(
        "SELECT in_punch_key IS NOT NULL AND out_punch_key IS NOT NULL, job_assignment_id"
        " FROM payroll.timesheet_entry"
    ).fetchone()
    assert found == (True, somebody.job)


def test_a_meal_is_not_paid_and_a_rest_is(app: Connection, somebody: Hire) -> None:
    punch(
        app,
        somebody.person,
        ("in", f"{MONDAY} 09:00"),
        ("break_start", f"{MONDAY} 10:00"),
        ("break_end", f"{MONDAY} 10:10"),
        ("meal_start", f"{MONDAY} 12:00"),
        ("meal_end", f"{MONDAY} 12:30"),
        ("out", f"{MONDAY} 17:30"),
    )
    build(app, somebody)
    assert entries(app) == [(4, "regular", 3.0, "REGULAR"), (4, "regular", 5.0, "REGULAR")]


def test_a_night_is_cut_at_midnight_of_its_place(app: Connection, codes: dict[str, UUID]) -> None:
    row(app, "payroll.overtime_rule", effective_from="2024-01-01")
    somebody = hire(app, place={"time_zone": "America/Chicago"})
    # 22:00 on the 5th to 06:00 on the 6th in Chicago.
    punch(app, somebody.person, ("in", "2026-05-06 03:00"), ("out", "2026-05-06 11:00"))
    build(app, somebody)
    assert entries(app) == [(5, "regular", 2.0, "REGULAR"), (6, "regular", 6.0, "REGULAR")]


def test_beyond_forty_hours_is_overtime(app: Connection, somebody: Hire) -> None:
    for on in range(4, 9):
        day(app, somebody, f"2026-05-0{on}", "09:00", "18:00")
    build(app, somebody)
    assert sums(app)[:3] == (40, 5, 0)
    assert entries(app)[-2:] == [(8, "regular", 4.0, "REGULAR"), (8, "overtime", 5.0, "OVERTIME")]
    assert differences(app) == []


def test_a_week_is_counted_whole_where_the_period_begins_within_it(
    app: Connection, somebody: Hire
) -> None:
    for on in range(4, 9):
        day(app, somebody, f"2026-05-0{on}", "09:00", "18:00")
    build(app, somebody, period(app, somebody.employer, "2026-05-08", "2026-05-14"))
    assert sums(app)[:2] == (4, 5)


def test_the_rule_of_the_place_divides_the_day(app: Connection, somebody: Hire) -> None:
    row(
        app,
        "payroll.overtime_rule",
        code="CA",
        work_location_id=somebody.place,
        daily_overtime_after_hours=8,
        daily_doubletime_after_hours=12,
        effective_from="2024-01-01",
    )
    day(app, somebody, MONDAY, "06:00", "20:00")
    build(app, somebody)
    assert [(kind, hours) for _, kind, hours, _ in entries(app)] == [
        ("regular", 8.0),
        ("overtime", 4.0),
        ("doubletime", 2.0),
    ]
    spans = app.execute(
        "SELECT (started_at AT TIME ZONE 'UTC')::time::text FROM payroll.timesheet_entry"
        " ORDER BY started_at"
    ).fetchall()
    assert [start for (start,) in spans] == ["06:00:00", "14:00:00", "18:00:00"]


def test_an_exempt_job_has_no_overtime(app: Connection, codes: dict[str, UUID]) -> None:
    profile = row(app, "payroll.job_profile", flsa_status="exempt", exemption_test="computer")
    somebody = hire(app, job_profile_id=profile)
    for on in range(4, 9):
        day(app, somebody, f"2026-05-0{on}", "09:00", "19:00")
    build(app, somebody)
    assert sums(app)[:3] == (50, 0, 0)


def test_without_a_rule_nothing_is_built(app: Connection, codes: dict[str, UUID]) -> None:
    with pytest.raises(errors.NoDataFound, match="no overtime rule"):
        build(app, hire(app))


def test_without_a_code_nothing_is_paid(app: Connection) -> None:
    row(app, "payroll.overtime_rule", effective_from="2024-01-01")
    somebody = hire(app)
    day(app, somebody, MONDAY, "09:00", "17:00")
    with pytest.raises(errors.NoDataFound, match="no active earning code pays regular"):
        build(app, somebody)


def test_a_transfer_changes_job_and_cost(app: Connection, somebody: Hire) -> None:
    second = row(
        app,
        "payroll.job_assignment",
        employee_id=somebody.person,
        work_location_id=somebody.place,
        assignment_no=2,
        effective_from="2024-01-15",
    )
    department = row(app, "payroll.department", code="BAR")
    punch(app, somebody.person, ("in", f"{MONDAY} 09:00"))
    punch(
        app,
        somebody.person,
        ("transfer", f"{MONDAY} 13:00"),
        job_assignment_id=second,
        department_code="BAR",
    )
    punch(app, somebody.person, ("meal_start", f"{MONDAY} 14:00"))
    punch(app, somebody.person, ("meal_end", f"{MONDAY} 14:30"), ("out", f"{MONDAY} 17:00"))
    build(app, somebody)
    found = app.execute(
        "SELECT job_assignment_id, department_id, hours FROM payroll.timesheet_entry"
        " ORDER BY started_at"
    ).fetchall()
    assert found == [
        (somebody.job, None, Decimal(4)),
        (second, department, Decimal(1)),
        (second, None, Decimal("2.5")),
    ]


def test_in_and_out_are_rounded_and_meals_are_not(app: Connection, codes: dict[str, UUID]) -> None:
    row(app, "payroll.overtime_rule", effective_from="2024-01-01")
    schedule = row(app, "payroll.work_schedule", rounding_minutes=15, rounding_mode="nearest")
    somebody = hire(app, work_schedule_id=schedule)
    punch(
        app,
        somebody.person,
        ("in", f"{MONDAY} 09:06"),
        ("meal_start", f"{MONDAY} 12:03"),
        ("meal_end", f"{MONDAY} 12:28"),
        ("out", f"{MONDAY} 17:10"),
    )
    build(app, somebody)
    assert [hours for _, _, hours, _ in entries(app)] == [3.05, 4.7833]


def test_what_was_superseded_is_not_paid(app: Connection, somebody: Hire) -> None:
    wrong = punch(app, somebody.person, ("in", f"{MONDAY} 05:00"))
    punch(app, somebody.person, ("out", f"{MONDAY} 17:00"))
    app.execute(
        "SELECT payroll.correct_punch(%s, %s, 'in', 'Clock was wrong')",
        [wrong, f"{MONDAY} 09:00+00"],
    )
    build(app, somebody)
    assert sums(app)[0] == 8


def test_built_again_it_says_the_same(app: Connection, somebody: Hire) -> None:
    day(app, somebody, MONDAY, "09:00", "17:00")
    span = period(app, somebody.employer)
    first = build(app, somebody, span)
    before = entries(app), raised(app)
    assert build(app, somebody, span) == first
    assert (entries(app), raised(app)) == before


def test_two_who_build_at_once_build_one_sheet(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        earning_codes(connection)
        row(connection, "payroll.overtime_rule", effective_from="2024-01-01")
        somebody = hire(connection)
        day(connection, somebody, MONDAY, "09:00", "17:00")
        span = period(connection, somebody.employer)
    first, *others = at_once(target, tenant, 3, lambda c, _: build(c, somebody, span))
    assert others == [first, first]
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert entries(connection) == [(4, "regular", 8.0, "REGULAR")]
        assert differences(connection) == []


@pytest.mark.parametrize("status", ["approved", "locked"])
def test_what_was_approved_is_not_built_again(app: Connection, somebody: Hire, status: str) -> None:
    span = period(app, somebody.employer)
    imported(
        app,
        "payroll.timesheet",
        employee_id=somebody.person,
        pay_period_id=span,
        status=status,
        **SENT,
    )
    with pytest.raises(errors.CheckViolation, match="not built again"):
        build(app, somebody, span)


def test_hours_by_hand_stay_and_count_for_overtime(
    app: Connection, somebody: Hire, codes: dict[str, UUID]
) -> None:
    span = period(app, somebody.employer)
    sheet = build(app, somebody, span)
    for on in range(4, 8):
        day(app, somebody, f"2026-05-0{on}", "09:00", "18:00")
    day(app, somebody, "2026-05-08", "12:00", "18:00")
    enter(
        app,
        sheet,
        work_date="2026-05-08",
        hours=2,
        entry_kind="training",
        earning_code_id=codes["regular"],
        is_manual=True,
        manual_reason="Course",
    )
    build(app, somebody, span)
    assert sums(app)[:2] == (40, 4)
    assert (8, "training", 2.0, "REGULAR") in entries(app)


MEAL = {"meal_break_after_hours": 5, "meal_penalty_hours": 1}


@pytest.mark.parametrize(
    ("out", "back", "kind", "minutes"),
    [
        ("12:00", "12:30", None, None),
        ("14:00", "14:30", None, None),
        ("14:01", "14:31", "missed_meal", 0),
        ("12:00", "12:20", "short_meal", 20),
    ],
)
def test_a_meal_that_was_missed_or_short_is_paid_for(
    app: Connection, codes: dict[str, UUID], out: str, back: str, kind: str | None, minutes: int
) -> None:
    row(app, "payroll.overtime_rule", effective_from="2024-01-01", **MEAL)
    somebody = hire(app)
    punch(
        app,
        somebody.person,
        ("in", f"{MONDAY} 09:00"),
        ("meal_start", f"{MONDAY} {out}"),
        ("meal_end", f"{MONDAY} {back}"),
        ("out", f"{MONDAY} 17:00"),
    )
    build(app, somebody)
    penalties = [entry for entry in entries(app) if entry[1] == "meal_penalty"]
    assert penalties == ([(4, "meal_penalty", 1.0, "PREMIUM")] if kind else [])
    assert raised(app) == ([(kind, minutes, "open")] if kind else [])
    assert sums(app)[0] < 8


def test_a_short_day_needs_no_meal(app: Connection, codes: dict[str, UUID]) -> None:
    row(app, "payroll.overtime_rule", effective_from="2024-01-01", **MEAL)
    somebody = hire(app)
    day(app, somebody, MONDAY, "09:00", "14:00")
    build(app, somebody)
    assert raised(app) == []


def test_a_meal_that_the_employee_waived_costs_nothing(
    app: Connection, codes: dict[str, UUID]
) -> None:
    row(app, "payroll.overtime_rule", effective_from="2024-01-01", **MEAL)
    somebody = hire(app)
    day(app, somebody, MONDAY, "09:00", "15:00")
    span = period(app, somebody.employer)
    build(app, somebody, span)
    assert len(entries(app)) == 2
    app.execute(
        "UPDATE payroll.attendance_exception SET status = 'waived', resolved_at = now(),"
        " consent_file_object_id = %s",
        [row(app, "system_core.file_object")],
    )
    build(app, somebody, span)
    assert entries(app) == [(4, "regular", 6.0, "REGULAR")]


NIGHT = {"premium_kind": "night", "window_start": "22:00", "window_end": "06:00"}


@pytest.mark.parametrize(
    ("rule", "start", "end", "premium"),
    [
        (NIGHT, "20:00", "23:30", [(4, 1.5, 2)]),
        (NIGHT, "05:00", "09:00", [(4, 1.0, 2)]),
        (NIGHT, "09:00", "17:00", []),
        ({**NIGHT, "minimum_hours": 2}, "20:00", "23:30", []),
        ({**NIGHT, "minimum_hours": 1.5}, "20:00", "23:30", [(4, 1.5, 2)]),
        ({**NIGHT, "amount_per_hour": None, "percent_of_rate": 15}, "21:00", "23:00", [(4, 1, 3)]),
        ({"premium_kind": "hazard"}, "09:00", "17:00", [(4, 8.0, 2)]),
        ({"premium_kind": "weekend", "weekdays": ["monday"]}, "09:00", "17:00", [(4, 8.0, 2)]),
        ({"premium_kind": "weekend", "weekdays": ["sunday"]}, "09:00", "17:00", []),
        ({"premium_kind": "holiday"}, "09:00", "17:00", []),
        ({"premium_kind": "hazard", "effective_until": "2026-05-04"}, "09:00", "17:00", []),
    ],
)
def test_a_premium_is_paid_beside_the_hours_that_it_is_for(
    app: Connection,
    somebody: Hire,
    codes: dict[str, UUID],
    rule: dict[str, Any],
    start: str,
    end: str,
    premium: list[tuple[float, ...]],
) -> None:
    columns = {"amount_per_hour": 2, "effective_from": "2024-01-01", **rule}
    row(app, "payroll.pay_premium_rule", earning_code_id=codes["premium"], **columns)
    day(app, somebody, MONDAY, start, end)
    build(app, somebody)
    found = app.execute(
        "SELECT extract(day FROM work_date)::integer, hours, rate_override_amount"
        " FROM payroll.timesheet_entry WHERE rate_override_amount IS NOT NULL"
    ).fetchall()
    assert [tuple(map(float, entry)) for entry in found] == premium
    hours = int(end[:2]) - int(start[:2]) + int(end[3:]) / 60
    assert sums(app)[0] == hours


def test_the_best_of_two_premiums_is_paid(
    app: Connection, somebody: Hire, codes: dict[str, UUID]
) -> None:
    known = {"earning_code_id": codes["premium"], "effective_from": "2024-01-01"}
    row(app, "payroll.pay_premium_rule", code="A", amount_per_hour=1, **known)
    row(app, "payroll.pay_premium_rule", code="B", amount_per_hour=3, **known)
    day(app, somebody, MONDAY, "09:00", "17:00")
    build(app, somebody)
    found = app.execute(
        "SELECT rate_override_amount FROM payroll.timesheet_entry"
        " WHERE rate_override_amount IS NOT NULL"
    ).fetchall()
    assert found == [(Decimal(3),)]


@pytest.mark.parametrize(("other", "paid"), [(False, 8.0), (True, 0.0)])
def test_a_premium_is_that_of_its_place_and_job(
    app: Connection, somebody: Hire, codes: dict[str, UUID], other: bool, paid: float
) -> None:
    place = row(app, "payroll.work_location") if other else somebody.place
    row(
        app,
        "payroll.pay_premium_rule",
        earning_code_id=codes["premium"],
        work_location_id=place,
        job_profile_id=somebody.profile,
        effective_from="2024-01-01",
    )
    day(app, somebody, MONDAY, "09:00", "17:00")
    build(app, somebody)
    assert sum(hours for _, _, hours, code in entries(app) if code == "PREMIUM") == paid


def test_a_split_shift_is_paid_after_the_gap(
    app: Connection, somebody: Hire, codes: dict[str, UUID]
) -> None:
    row(
        app,
        "payroll.pay_premium_rule",
        earning_code_id=codes["premium"],
        premium_kind="split_shift",
        minimum_hours=2,
        effective_from="2024-01-01",
    )
    day(app, somebody, MONDAY, "08:00", "11:00")
    day(app, somebody, MONDAY, "16:00", "20:00")
    build(app, somebody)
    assert [hours for _, _, hours, code in entries(app) if code == "PREMIUM"] == [4.0]


def calendar(connection: Connection, on: str) -> None:
    connection.execute("DELETE FROM system_core.holiday_calendar")
    made = row(
        connection,
        "system_core.holiday_calendar",
        is_default=True,
        valid_from="2020-01-01",
        country_code="US",
    )
    row(
        connection,
        "system_core.holiday",
        holiday_calendar_id=made,
        holiday_date=on,
        kind="public",
        is_paid=True,
    )


@pytest.mark.parametrize(
    ("category", "paid"), [("full_time", [(6, "holiday", 8.0, "HOLIDAY")]), ("part_time", [])]
)
def test_a_paid_holiday_is_a_fifth_of_the_week(
    app: Connection, codes: dict[str, UUID], category: str, paid: list[Any]
) -> None:
    calendar(app, "2026-05-06")
    row(app, "payroll.overtime_rule", effective_from="2024-01-01")
    build(app, hire(app, worker_category=category))
    assert entries(app) == paid


def test_work_on_a_holiday_brings_its_premium(
    app: Connection, somebody: Hire, codes: dict[str, UUID]
) -> None:
    calendar(app, MONDAY)
    row(
        app,
        "payroll.pay_premium_rule",
        earning_code_id=codes["premium"],
        premium_kind="holiday",
        effective_from="2024-01-01",
    )
    day(app, somebody, MONDAY, "09:00", "17:00")
    day(app, somebody, "2026-05-05", "09:00", "17:00")
    build(app, somebody)
    assert [(d, h) for d, _, h, code in entries(app) if code == "PREMIUM"] == [(4, 8.0)]


def planned(connection: Connection, codes: dict[str, UUID], **given: Any) -> Hire:
    """Somebody with a published shift on Monday from 9 to 17 in a fixed schedule."""
    row(connection, "payroll.overtime_rule", effective_from="2024-01-01")
    schedule = row(
        connection,
        "payroll.work_schedule",
        pattern_kind="fixed",
        pattern=json.dumps([{"day": 1, "start": "09:00", "end": "17:00"}]),
        cycle_starts_on=MONDAY,
    )
    somebody = hire(connection, work_schedule_id=schedule, **given)
    imported(
        connection,
        "payroll.scheduled_shift",
        employee_id=somebody.person,
        job_assignment_id=somebody.job,
        work_location_id=somebody.place,
        work_schedule_id=schedule,
        starts_at=f"{MONDAY} 09:00+00",
        ends_at=f"{MONDAY} 17:00+00",
        status="published",
        published_at="2026-04-20 09:00+00",
    )
    return somebody


@pytest.mark.parametrize(
    ("start", "end", "found", "status"),
    [
        ("09:00", "17:00", [], "worked"),
        ("09:05", "16:55", [], "worked"),
        ("09:06", "17:00", [("late_in", 6, "open")], "worked"),
        ("09:00", "16:54", [("early_out", 6, "open")], "worked"),
        (None, None, [("no_show", 480, "open")], "no_show"),
    ],
)
def test_what_did_not_go_as_planned_is_told(
    app: Connection,
    codes: dict[str, UUID],
    start: str | None,
    end: str | None,
    found: list[Any],
    status: str,
) -> None:
    somebody = planned(app, codes)
    if start and end:
        day(app, somebody, MONDAY, start, end)
    build(app, somebody)
    assert raised(app) == found
    assert app.execute("SELECT status FROM payroll.scheduled_shift").fetchone() == (status,)


def test_a_shift_that_is_not_over_is_not_missed(app: Connection, codes: dict[str, UUID]) -> None:
    somebody = planned(app, codes)
    span = period(app, somebody.employer)
    app.execute(
        "SELECT payroll.build_timesheet(%s, %s, %s)",
        [somebody.person, span, f"{MONDAY} 16:59+00"],
    )
    assert raised(app) == []


def test_work_that_nobody_planned_is_told(app: Connection, codes: dict[str, UUID]) -> None:
    somebody = planned(app, codes)
    day(app, somebody, MONDAY, "09:00", "17:00")
    day(app, somebody, "2026-05-06", "09:00", "10:30")
    build(app, somebody)
    assert raised(app) == [("unscheduled_work", 90, "open")]


def test_who_is_called_back_is_paid_the_least_that_was_promised(
    app: Connection, codes: dict[str, UUID]
) -> None:
    somebody = planned(app, codes)
    row(
        app,
        "payroll.pay_premium_rule",
        earning_code_id=codes["premium"],
        premium_kind="call_back",
        minimum_hours=4,
        effective_from="2024-01-01",
    )
    day(app, somebody, MONDAY, "09:00", "17:00")
    day(app, somebody, "2026-05-06", "09:00", "10:30")
    build(app, somebody)
    assert (6, "on_call", 2.5, "PREMIUM") in entries(app)
    assert sums(app)[0] == 9.5


def test_overtime_that_nobody_approved_is_told(app: Connection, codes: dict[str, UUID]) -> None:
    somebody = planned(app, codes)
    row(
        app,
        "payroll.overtime_rule",
        code="DAILY",
        work_location_id=somebody.place,
        daily_overtime_after_hours=8,
        effective_from="2024-01-01",
    )
    day(app, somebody, MONDAY, "09:00", "18:30")
    build(app, somebody)
    assert raised(app) == [("unapproved_overtime", 90, "open")]


@pytest.mark.parametrize(
    "punches", [[("in", "09:00")], [("out", "17:00")], [("in", "09:00"), ("in", "12:00")]]
)
def test_a_punch_without_its_other_half_is_told(
    app: Connection, somebody: Hire, punches: list[tuple[str, str]]
) -> None:
    punch(app, somebody.person, *[(kind, f"{MONDAY} {at}") for kind, at in punches])
    build(app, somebody)
    assert raised(app) == [("missing_punch", 0, "open")]
    assert entries(app) == []


def test_what_was_corrected_is_told_no_more(app: Connection, somebody: Hire) -> None:
    span = period(app, somebody.employer)
    punch(app, somebody.person, ("in", f"{MONDAY} 09:00"))
    build(app, somebody, span)
    punch(app, somebody.person, ("out", f"{MONDAY} 17:00"))
    sheet = build(app, somebody, span)
    assert raised(app) == [("missing_punch", 0, "corrected")]
    move(app, sheet, "submitted")
    move(app, sheet, "approved")


def test_what_was_excused_stays_excused(app: Connection, codes: dict[str, UUID]) -> None:
    somebody = planned(app, codes)
    span = period(app, somebody.employer)
    day(app, somebody, MONDAY, "09:30", "17:00")
    build(app, somebody, span)
    app.execute("UPDATE payroll.attendance_exception SET status = 'excused', resolved_at = now()")
    build(app, somebody, span)
    assert raised(app) == [("late_in", 30, "excused")]


def test_points_are_counted_over_twelve_months(app: Connection) -> None:
    person = row(app, "payroll.employee")
    for on, status, points in [
        ("2025-05-04", "unexcused", 1),
        ("2025-05-05", "unexcused", 0.5),
        ("2026-05-04", "unexcused", 2),
        ("2026-05-05", "unexcused", 3),
        ("2026-05-03", "excused", 0),
        ("2026-05-02", "open", 1),
    ]:
        row(
            app,
            "payroll.attendance_exception",
            employee_id=person,
            exception_date=on,
            status=status,
            points=points,
            detected_at="2025-01-01 10:00+00",
            resolved_at=None if status == "open" else "2026-06-01 10:00+00",
        )
    found = app.execute("SELECT payroll.attendance_points(%s, %s)", [person, MONDAY]).fetchone()
    assert found == (Decimal("2.5"),)


def working(connection: Connection, moment: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT employee_id, week_hours, is_on_break FROM payroll.who_is_working(%s)",
        [f"{moment}+00"],
    ).fetchall()


@pytest.mark.parametrize(
    ("moment", "found"),
    [
        ("2026-05-05 08:59", []),
        ("2026-05-05 10:00", [(9, False)]),
        ("2026-05-05 10:35", [(9.58, True)]),
        ("2026-05-05 12:10", []),
        ("2026-05-05 13:00", [(11.5, False)]),
        ("2026-05-05 17:01", []),
    ],
)
def test_who_is_working(
    app: Connection, somebody: Hire, moment: str, found: list[tuple[float, bool]]
) -> None:
    day(app, somebody, MONDAY, "09:00", "17:00")
    tuesday = [
        ("in", "09:00"),
        ("break_start", "10:30"),
        ("break_end", "10:40"),
        ("meal_start", "12:00"),
        ("meal_end", "12:30"),
        ("out", "17:00"),
    ]
    punch(app, somebody.person, *[(kind, f"2026-05-05 {at}") for kind, at in tuesday])
    seen = [(float(hours), rest) for _, hours, rest in working(app, moment)]
    assert seen == found


def test_the_view_tells_who_is_working_now(app: Connection, somebody: Hire) -> None:
    app.execute(
        "INSERT INTO payroll.clock_punch (business_id, employee_id, punched_at, punch_kind, source)"
        " VALUES (tenant_mgmt.current_business_id(), %s, now() - interval '1 hour', 'in', 'web')",
        [somebody.person],
    )
    found = app.execute("SELECT employee_id FROM payroll.v_who_is_working_now").fetchall()
    assert found == [(somebody.person,)]


def test_habits_of_a_quarter_are_seen_by_their_tenant_alone(
    admin: Connection, app: Connection, codes: dict[str, UUID]
) -> None:
    somebody = planned(app, codes)
    day(app, somebody, MONDAY, "09:30", "17:00")
    build(app, somebody)
    app.execute("RESET ROLE")
    app.execute("REFRESH MATERIALIZED VIEW payroll.mv_attendance_pattern")
    other = add_tenant(admin, "second")
    app.execute("SET LOCAL ROLE app_user")
    pattern = "SELECT weekday, quarter_starts_on, shifts, times_late, minutes_late, absences"
    found = app.execute(f"{pattern} FROM payroll.v_attendance_pattern".encode()).fetchall()
    assert found == [(1, date(2026, 4, 1), 1, 1, Decimal(30), 0)]
    become_app(admin, other)
    assert app.execute("SELECT * FROM payroll.v_attendance_pattern").fetchall() == []
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("SELECT * FROM payroll.mv_attendance_pattern")
