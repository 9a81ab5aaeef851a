"""Shifts follow their pattern, punches are kept as they came, rules and premiums make sense."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import MONDAY, hire, punch

DAY = [{"day": 1, "start": "09:00", "end": "17:00", "break": 30}]
NIGHT = [{"day": 2, "start": "22:00", "end": "06:00"}]


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("work_schedule", {"pattern_kind": "fixed"}, "pattern_where_planned"),
        ("work_schedule", {"pattern_kind": "fixed", "cycle_days": 14}, "fixed_is_weekly"),
        ("work_schedule", {"rounding_minutes": 7}, "rounding_minutes_known"),
        ("work_schedule", {"rounding_mode": "nearest"}, "rounds_by_minutes"),
        ("work_schedule", {"rounding_minutes": 15}, "rounds_by_minutes"),
        ("work_schedule", {"weekly_hours": 101}, "weekly_hours_bounded"),
        ("work_schedule", {"late_grace_minutes": -1}, "grace_not_negative"),
        ("work_schedule", {"cycle_days": 0}, "cycle_bounded"),
        ("work_schedule", {"workweek_starts_on": "friday"}, "workweek_starts_on_known"),
        ("scheduled_shift", {"ends_at": "2026-05-04 10:00+00"}, "ends_after_start"),
        ("scheduled_shift", {"ends_at": "2026-05-05 10:01+00"}, "within_a_day"),
        ("scheduled_shift", {"unpaid_break_minutes": 241}, "break_bounded"),
        ("scheduled_shift", {"status": "published"}, "published_when_seen"),
        (
            "scheduled_shift",
            {"predictability_pay_amount": -1},
            "predictability_pay_not_negative",
        ),
        ("time_clock", {"latitude": 41.9}, "has_both_coordinates"),
        ("time_clock", {"geofence_radius_m": 100}, "fence_has_a_center"),
        (
            "time_clock",
            {"geofence_radius_m": 24, "latitude": 41.9, "longitude": -87.6},
            "fence_bounded",
        ),
        ("time_clock", {"offline_buffer_hours": -1}, "buffer_not_negative"),
        ("time_clock", {"photo_match_minimum": 2}, "photo_match_bounded"),
        ("clock_punch", {"recorded_at": "2026-05-04 09:49+00"}, "recorded_after_it_happened"),
        ("clock_punch", {"source": "supervisor"}, "supervisor_says_why"),
        ("clock_punch", {"latitude": 41.9}, "has_both_coordinates"),
        ("clock_punch", {"photo_match_score": 2}, "measures_bounded"),
        ("clock_punch", {"punch_kind": "nap"}, "kind_known"),
        ("overtime_rule", {"overtime_multiplier": 1.49}, "pays_time_and_a_half"),
        ("overtime_rule", {"weekly_overtime_after_hours": 41}, "begins_by_forty_hours"),
        ("overtime_rule", {"doubletime_multiplier": 1.4}, "double_pays_more"),
        (
            "overtime_rule",
            {"daily_overtime_after_hours": 8, "daily_doubletime_after_hours": 8},
            "double_begins_later",
        ),
        ("overtime_rule", {"daily_doubletime_after_hours": 12}, "double_needs_overtime"),
        ("overtime_rule", {"meal_break_after_hours": 0}, "meal_bounded"),
        ("overtime_rule", {"effective_until": "2020-01-01"}, "ends_after_start"),
        ("pay_premium_rule", {"percent_of_rate": 10}, "one_measure"),
        ("pay_premium_rule", {"amount_per_hour": None}, "one_measure"),
        (
            "pay_premium_rule",
            {"amount_per_hour": None, "percent_of_rate": 301},
            "percent_bounded",
        ),
        ("pay_premium_rule", {"amount_per_hour": 0}, "amount_positive"),
        ("pay_premium_rule", {"minimum_hours": -1}, "minimum_not_negative"),
        ("pay_premium_rule", {"window_start": "22:00"}, "window_has_both_ends"),
        ("pay_premium_rule", {"premium_kind": "night"}, "night_has_window"),
        ("pay_premium_rule", {"premium_kind": "weekend"}, "weekend_has_days"),
        ("pay_premium_rule", {"weekdays": ["someday"]}, "weekdays_known"),
        ("pay_premium_rule", {"effective_until": "2020-01-01"}, "ends_after_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"payroll.{table}", **columns)


@pytest.mark.parametrize(
    ("element", "held"),
    [
        ({"day": 1, "start": "09:00", "end": "17:00"}, True),
        ({"day": 7, "start": "22:00", "end": "06:00", "break": 30}, True),
        ({"day": 8, "start": "09:00", "end": "17:00"}, False),
        ({"day": 0, "start": "09:00", "end": "17:00"}, False),
        ({"start": "09:00", "end": "17:00"}, False),
        ({"day": 1.5, "start": "09:00", "end": "17:00"}, False),
        ({"day": 1, "start": "09:00"}, False),
        ({"day": 1, "start": "9:00", "end": "17:00"}, False),
        ({"day": 1, "start": "09:00", "end": "24:00"}, False),
        ({"day": 1, "start": "09:00", "end": "09:00"}, False),
        ({"day": 1, "start": "09:00", "end": "17:00", "break": 300}, False),
    ],
)
def test_a_pattern_lies_within_its_cycle(
    app: Connection, element: dict[str, Any], held: bool
) -> None:
    columns = {"pattern_kind": "fixed", "pattern": json.dumps([*DAY, element])}
    if held:
        assert row(app, "payroll.work_schedule", **columns)
        return
    with pytest.raises(errors.CheckViolation, match="pattern_within_cycle"):
        row(app, "payroll.work_schedule", **columns)


def plan(connection: Connection, schedule: UUID, first: str, last: str) -> Any:
    found = connection.execute(
        "SELECT payroll.schedule_shifts(%s, %s, %s)", [schedule, first, last]
    ).fetchone()
    assert found
    return found[0]


def schedule_of(connection: Connection, pattern: list[dict[str, Any]], **given: Any) -> UUID:
    columns = {"pattern_kind": "rotating", "cycle_starts_on": MONDAY, **given}
    return row(connection, "payroll.work_schedule", pattern=json.dumps(pattern), **columns)


def test_a_pattern_becomes_shifts_in_the_time_of_the_place(app: Connection) -> None:
    schedule = schedule_of(app, DAY + NIGHT)
    hire(app, work_schedule_id=schedule, place={"time_zone": "America/Chicago"})
    assert plan(app, schedule, MONDAY, "2026-05-10") == 2
    shifts = app.execute(
        "SELECT shift_date, starts_at AT TIME ZONE 'UTC', ends_at - starts_at,"
        " unpaid_break_minutes, status FROM payroll.scheduled_shift ORDER BY starts_at"
    ).fetchall()
    assert [(d, str(s), str(length), rest, state) for d, s, length, rest, state in shifts] == [
        (date(2026, 5, 4), "2026-05-04 14:00:00", "8:00:00", 30, "draft"),
        (date(2026, 5, 5), "2026-05-06 03:00:00", "8:00:00", 0, "draft"),
    ]


@pytest.mark.parametrize(
    ("first", "days"),
    [("2026-05-04", [4]), ("2026-05-05", []), ("2026-05-07", [7]), ("2026-05-01", [1, 4])],
)
def test_a_cycle_goes_round_in_both_directions(
    app: Connection, first: str, days: list[int]
) -> None:
    schedule = schedule_of(app, DAY, cycle_days=3)
    hire(app, work_schedule_id=schedule)
    last = {"2026-05-01": "2026-05-06"}.get(first, first)
    plan(app, schedule, first, last)
    found = app.execute("SELECT shift_date FROM payroll.scheduled_shift ORDER BY 1").fetchall()
    assert [day.day for (day,) in found] == days


def test_a_day_that_has_a_shift_keeps_it(app: Connection) -> None:
    schedule = schedule_of(app, DAY)
    hire(app, work_schedule_id=schedule)
    assert plan(app, schedule, MONDAY, "2026-05-10") == 1
    assert plan(app, schedule, MONDAY, "2026-05-10") == 0


def test_who_has_left_is_not_planned(app: Connection) -> None:
    schedule = schedule_of(app, DAY)
    hire(app, work_schedule_id=schedule, effective_until="2026-05-04")
    assert plan(app, schedule, MONDAY, "2026-05-10") == 0


def test_a_person_has_one_shift_at_a_time(app: Connection) -> None:
    person = row(app, "payroll.employee")
    row(app, "payroll.scheduled_shift", employee_id=person)
    row(app, "payroll.scheduled_shift", employee_id=person, status="cancelled")
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        row(app, "payroll.scheduled_shift", employee_id=person)


ORDINANCE = {"schedule_notice_hours": 336, "predictability_pay_hours": 1}


@pytest.mark.parametrize(
    ("place", "starts", "change", "pay"),
    [
        (ORDINANCE, "13 days", "starts_at = starts_at + interval '1 hour'", 20),
        (ORDINANCE, "15 days", "starts_at = starts_at + interval '1 hour'", 0),
        (ORDINANCE, "2 days", "status = 'cancelled'", 20),
        (ORDINANCE, "2 days", "status = 'confirmed'", 0),
        ({}, "2 days", "status = 'cancelled'", 0),
    ],
)
def test_a_late_change_of_a_shift_is_paid_where_an_ordinance_says_so(
    app: Connection, place: dict[str, int], starts: str, change: str, pay: int
) -> None:
    somebody = hire(app, place=place)
    row(
        app,
        "payroll.scheduled_shift",
        employee_id=somebody.person,
        job_assignment_id=somebody.job,
        work_location_id=somebody.place,
    )
    app.execute(
        "UPDATE payroll.scheduled_shift SET status = 'published', published_at = now(),"
        " starts_at = now() + %s::interval, ends_at = now() + %s::interval + '8 hours'",
        [starts, starts],
    )
    app.execute(f"UPDATE payroll.scheduled_shift SET {change}".encode())
    found = app.execute(
        "SELECT predictability_pay_amount, change_notice_hours IS NULL FROM payroll.scheduled_shift"
    ).fetchone()
    assert found == (Decimal(pay), "confirmed" in change)


def test_a_punch_is_not_edited_nor_deleted(app: Connection) -> None:
    punch(app, hire(app).person, ("in", "2026-05-04 09:00"))
    for statement in (
        "UPDATE payroll.clock_punch SET is_superseded = false",
        "DELETE FROM payroll.clock_punch",
    ):
        with (
            pytest.raises((errors.RestrictViolation, errors.InsufficientPrivilege)),
            app.transaction(),
        ):
            app.execute(statement.encode())
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("UPDATE payroll.clock_punch SET punch_kind = 'out'")
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation):
        app.execute("UPDATE payroll.clock_punch SET punch_kind = 'out', is_superseded = true")


def correct(connection: Connection, wrong: UUID, moment: str = "2026-05-04 09:30+00") -> UUID:
    found = connection.execute(
        "SELECT payroll.correct_punch(%s, %s, 'in', 'Forgot to clock in')", [wrong, moment]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def test_a_correction_stands_beside_what_it_corrects(app: Connection) -> None:
    wrong = punch(app, hire(app).person, ("in", "2026-05-04 09:00"))
    correct(app, wrong)
    found = app.execute(
        "SELECT is_superseded, source, edit_reason FROM payroll.clock_punch ORDER BY punched_at"
    ).fetchall()
    assert found == [(True, "import", None), (False, "supervisor", "Forgot to clock in")]
    with pytest.raises(errors.NoDataFound, match="superseded before"):
        correct(app, wrong, "2026-05-04 09:45+00")


def test_the_same_punch_comes_once(app: Connection) -> None:
    person = hire(app).person
    punch(app, person, ("in", "2026-05-04 09:00"))
    with pytest.raises(errors.UniqueViolation):
        punch(app, person, ("in", "2026-05-04 09:00"))


FENCED = {"geofence_radius_m": 100, "latitude": 41.88, "longitude": -87.63}


@pytest.mark.parametrize(
    ("fence", "where", "inside"),
    [
        (FENCED, {"latitude": 41.8801, "longitude": -87.63}, True),
        (FENCED, {"latitude": 41.882, "longitude": -87.63}, False),
        (FENCED, {"latitude": 41.8815, "longitude": -87.63, "accuracy_m": 100}, True),
        (FENCED, {}, None),
        ({}, {"latitude": 41.882, "longitude": -87.63}, None),
    ],
)
def test_a_punch_knows_whether_it_was_made_inside_the_fence(
    app: Connection, fence: dict[str, float], where: dict[str, float], inside: bool | None
) -> None:
    clock = row(app, "payroll.time_clock", **fence)
    punch(
        app,
        hire(app).person,
        ("in", "2026-05-04 09:00"),
        time_clock_id=clock,
        source="mobile",
        **where,
    )
    assert app.execute("SELECT inside_geofence FROM payroll.clock_punch").fetchone() == (inside,)
    raised = app.execute("SELECT kind FROM payroll.attendance_exception").fetchall()
    assert raised == ([("outside_geofence",)] if inside is False else [])


@pytest.mark.parametrize(
    ("before", "kind", "raised"),
    [
        ([], "in", []),
        ([], "out", ["missing_punch"]),
        ([], "meal_end", ["missing_punch"]),
        (["in"], "in", ["missing_punch"]),
        (["in"], "out", []),
        (["in"], "meal_start", []),
        (["in"], "transfer", []),
        (["in"], "meal_end", ["missing_punch"]),
        (["in"], "break_end", ["missing_punch"]),
        (["in", "break_start"], "break_end", []),
        (["in", "meal_start"], "meal_end", []),
        (["in", "meal_start"], "out", ["missing_punch"]),
        (["in", "out"], "in", []),
        (["in", "out"], "out", ["missing_punch"]),
        (["in", "out"], "meal_start", ["missing_punch"]),
    ],
)
def test_an_impossible_order_is_told_and_the_punch_is_kept(
    app: Connection, before: list[str], kind: str, raised: list[str]
) -> None:
    person = hire(app).person
    for hour, earlier in enumerate(before, 10):
        punch(app, person, (earlier, f"2026-05-04 {hour}:00"))
    punch(app, person, (kind, "2026-05-04 18:00"), source="kiosk")
    found = app.execute("SELECT kind FROM payroll.attendance_exception").fetchall()
    assert [k for (k,) in found] == raised
    assert app.execute("SELECT count(*) FROM payroll.clock_punch").fetchone() == (len(before) + 1,)


@pytest.mark.parametrize(
    ("score", "suspect"), [(0.95, False), (0.8, False), (0.79, True), (None, True)]
)
def test_a_face_that_is_not_the_one_on_file_is_told(
    app: Connection, score: float | None, suspect: bool
) -> None:
    clock = row(app, "payroll.time_clock", requires_photo=True)
    punch(
        app,
        hire(app).person,
        ("in", "2026-05-04 09:00"),
        time_clock_id=clock,
        source="biometric",
        photo_match_score=score,
    )
    found = app.execute("SELECT kind FROM payroll.attendance_exception").fetchall()
    assert found == ([("buddy_punch_suspect",)] if suspect else [])


@pytest.mark.parametrize(("minute", "suspect"), [("01", True), ("03", False)])
def test_nobody_is_at_two_clocks_at_once(app: Connection, minute: str, suspect: bool) -> None:
    person = hire(app).person
    for moment in ("09:00", f"09:{minute}"):
        clock = row(app, "payroll.time_clock")
        punch(app, person, ("in", f"2026-05-04 {moment}"), time_clock_id=clock, source="kiosk")
    found = app.execute(
        "SELECT count(*) FROM payroll.attendance_exception WHERE kind = 'buddy_punch_suspect'"
    ).fetchone()
    assert found == (int(suspect),)


def test_imported_punches_were_looked_at_before(app: Connection) -> None:
    imported(app, "payroll.clock_punch", employee_id=hire(app).person, punch_kind="out")
    found = app.execute("SELECT count(*) FROM payroll.attendance_exception").fetchone()
    assert found == (0,)


def test_a_rule_of_one_code_holds_once_at_a_time(app: Connection) -> None:
    row(app, "payroll.overtime_rule", code="CA", effective_until="2026-07-01")
    row(app, "payroll.overtime_rule", code="CA", effective_from="2026-07-01")
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        row(app, "payroll.overtime_rule", code="CA", effective_from="2026-06-01")


CALIFORNIA = (8, 12, 40, "doubletime_after_8")
FEDERAL = (None, None, 40, "none")


@pytest.mark.parametrize(
    ("hours", "rule", "regular", "overtime", "doubletime"),
    [
        ([8, 8, 8, 8, 8, 0, 0], FEDERAL, [8] * 5 + [0, 0], [0] * 7, [0] * 7),
        ([10] * 4 + [0] * 3, FEDERAL, [10] * 4 + [0] * 3, [0] * 7, [0] * 7),
        ([10] * 5 + [0] * 2, FEDERAL, [10] * 4 + [0] * 3, [0] * 4 + [10, 0, 0], [0] * 7),
        ([10] * 4 + [0] * 3, CALIFORNIA, [8] * 4 + [0] * 3, [2] * 4 + [0] * 3, [0] * 7),
        ([14] + [0] * 6, CALIFORNIA, [8] + [0] * 6, [4] + [0] * 6, [2] + [0] * 6),
        # Eight hours on six days: the sixth is beyond forty.
        ([8] * 6 + [0], CALIFORNIA, [8] * 5 + [0, 0], [0] * 5 + [8, 0], [0] * 7),
        # All seven days: the seventh is overtime, and double time beyond eight hours.
        ([6] * 6 + [10], CALIFORNIA, [6] * 6 + [0], [0] * 6 + [8], [0] * 6 + [2]),
        ([6] * 6 + [10], (8, 12, 40, "overtime_first_8"), [6] * 6 + [0], [0] * 6 + [10], [0] * 7),
        # Hours that are overtime of their day do not fill the week.
        ([12] * 3 + [8] * 2 + [0] * 2, CALIFORNIA, [8] * 5 + [0] * 2, [4] * 3 + [0] * 4, [0] * 7),
    ],
)
def test_a_week_is_divided(
    app: Connection,
    hours: list[int],
    rule: tuple[Any, ...],
    regular: list[int],
    overtime: list[int],
    doubletime: list[int],
) -> None:
    found = app.execute(
        "SELECT regular, overtime, doubletime"
        " FROM payroll.split_week(%s::numeric[], %s, %s, %s, %s) ORDER BY day_no",
        [hours, *rule],
    ).fetchall()
    assert found == list(zip(regular, overtime, doubletime, strict=True))


def better(connection: Connection, place: UUID, hours: list[int], week: str = MONDAY) -> Any:
    found = connection.execute(
        "SELECT r.code FROM payroll.overtime_rule AS r WHERE r.overtime_rule_id"
        " = payroll.better_overtime_rule(%s, %s, %s::numeric[])",
        [place, week, hours],
    ).fetchone()
    return found and found[0]


def test_the_better_rule_wins(app: Connection) -> None:
    place = row(app, "payroll.work_location")
    since = {"effective_from": "2024-01-01"}
    row(app, "payroll.overtime_rule", code="FLSA", **since)
    row(
        app,
        "payroll.overtime_rule",
        code="DAILY",
        work_location_id=place,
        daily_overtime_after_hours=8,
        **since,
    )
    row(
        app,
        "payroll.overtime_rule",
        code="UNION",
        work_location_id=place,
        weekly_overtime_after_hours=36,
        **since,
    )
    assert better(app, place, [10, 10, 10, 0, 0, 0, 0]) == "DAILY"
    assert better(app, place, [8, 8, 8, 8, 8, 0, 0]) == "UNION"
    assert better(app, row(app, "payroll.work_location"), [10] * 5 + [0] * 2) == "FLSA"
    assert better(app, place, [10] * 5 + [0] * 2, "2023-12-25") is None


def test_a_rule_that_pays_more_for_the_hour_wins_too(app: Connection) -> None:
    place = row(app, "payroll.work_location")
    row(app, "payroll.overtime_rule", code="FLSA")
    row(app, "payroll.overtime_rule", code="RICH", overtime_multiplier=2)
    assert better(app, place, [10] * 5 + [0] * 2) == "RICH"


@pytest.mark.parametrize(
    ("minutes", "mode", "start", "moment", "paid"),
    [
        (15, "nearest", True, "09:07:29", "09:00:00"),
        (15, "nearest", True, "09:07:30", "09:15:00"),
        (6, "nearest", False, "17:02:59", "17:00:00"),
        (6, "nearest", False, "17:03:00", "17:06:00"),
        (15, "employee_favor", True, "09:14:00", "09:00:00"),
        (15, "employee_favor", False, "17:01:00", "17:15:00"),
        (15, "employee_favor", False, "17:15:00", "17:15:00"),
        (0, "none", True, "09:07:29", "09:07:00"),
    ],
)
def test_punches_are_rounded(
    app: Connection, minutes: int, mode: str, start: bool, moment: str, paid: str
) -> None:
    found = app.execute(
        "SELECT (payroll.rounded_punch(%s::timestamptz, %s, %s, %s)"
        " AT TIME ZONE 'UTC')::time::text",
        [f"2026-05-04 {moment}+00", minutes, mode, start],
    ).fetchone()
    assert found == (paid,)


@pytest.mark.parametrize(
    ("starts_on", "first"),
    [("sunday", date(2026, 5, 3)), ("monday", date(2026, 5, 4)), ("saturday", date(2026, 5, 2))],
)
def test_a_workweek_begins_where_the_employer_fixed_it(
    app: Connection, starts_on: str, first: date
) -> None:
    found = app.execute("SELECT payroll.week_start('2026-05-07', %s)", [starts_on]).fetchone()
    assert found == (first,)
