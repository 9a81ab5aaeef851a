"""Nobody works twice at once, hours and tips are what was worked, approval is somebody else's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

IN, OUT = "2026-05-04 10:00+00", "2026-05-04 16:00+00"


@pytest.fixture
def person(app: Connection) -> UUID:
    return row(app, "rest.staff_member", employee_number="E1")


def enter(connection: Connection, person: UUID, **given: Any) -> UUID:
    """A time entry of six hours, columns as given."""
    columns = {"clock_in_at": IN, "clock_out_at": OUT, "regular_hours": 6, **given}
    return row(connection, "rest.time_entry", staff_member_id=person, **columns)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("job_role", {"tip_credit_amount": 5}, "tip_credit_needs_tips"),
        ("job_role", {"default_hourly_rate": -1}, "rate_not_negative"),
        ("staff_member", {"status": "terminated"}, "terminated_has_date"),
        ("staff_member", {"terminated_on": "2020-01-01"}, "leaves_after_joining"),
        ("staff_member", {"weekly_hour_limit": 90}, "week_bounded"),
        ("staff_job", {"overtime_multiplier": 0.9}, "overtime_pays_more"),
        ("staff_job", {"effective_to": "2020-01-01"}, "ends_after_start"),
        ("staff_certification", {"expires_on": "2020-01-01"}, "expires_later"),
        ("shift", {"ends_at": IN, "starts_at": OUT}, "ends_after_start"),
        ("shift", {"ends_at": "2026-05-05 16:00+00"}, "is_no_longer_than_a_day"),
        ("shift", {"unpaid_break_minutes": 181}, "break_bounded"),
        ("shift", {"state": "open"}, "published_when_seen"),
        ("shift", {"state": "worked", "published_at": IN}, "belongs_to_somebody"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"rest.{table}", **columns)


def test_a_wage_applies_once_at_a_time(app: Connection, person: UUID) -> None:
    job, location = row(app, "rest.job_role"), row(app, "rest.location")
    known = {"staff_member_id": person, "job_role_id": job, "location_id": location}
    row(app, "rest.staff_job", effective_from="2026-01-01", effective_to="2026-03-31", **known)
    row(app, "rest.staff_job", effective_from="2026-04-01", **known)
    with pytest.raises(errors.ExclusionViolation, match="staff_job_no_overlap"):
        row(app, "rest.staff_job", effective_from="2026-03-01", **known)


def test_a_person_has_one_shift_at_a_time(app: Connection, person: UUID) -> None:
    row(app, "rest.shift", staff_member_id=person, starts_at=IN, ends_at=OUT)
    row(app, "rest.shift", staff_member_id=person, state="cancelled")
    with pytest.raises(errors.ExclusionViolation, match="shift_no_overlap"):
        row(app, "rest.shift", staff_member_id=person)


def test_open_shifts_may_lie_side_by_side(app: Connection) -> None:
    for _ in range(2):
        row(app, "rest.shift", state="open", published_at=IN)
    assert app.execute("SELECT count(*) FROM rest.shift").fetchone() == (2,)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"clock_out_at": "2026-05-04 09:00+00"}, "out_after_in"),
        ({"regular_hours": 20, "overtime_hours": 5}, "hours_fit_a_day"),
        ({"clock_out_at": None}, "hours_once_out"),
        ({"declared_cash_tips": -1}, "tips_not_negative"),
        ({"clock_out_at": None, "regular_hours": 0, "approval_state": "pending"}, "once_closed"),
        ({"approved_at": OUT}, "approval_is_whole"),
    ],
)
def test_hours_are_possible(
    app: Connection, person: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"time_entry_.*{truth}"):
        enter(app, person, **columns)


def test_nobody_approves_their_own_hours(app: Connection, person: UUID) -> None:
    approved = {"approved_at": OUT, "approval_state": "approved"}
    enter(app, person, approved_by_staff_id=row(app, "rest.staff_member"), **approved)
    with pytest.raises(errors.CheckViolation, match="time_entry_approved_by_another"):
        enter(
            app,
            person,
            clock_in_at="2026-05-05 10:00+00",
            clock_out_at="2026-05-05 16:00+00",
            approved_by_staff_id=person,
            **approved,
        )


def test_nobody_is_clocked_in_twice(app: Connection, person: UUID) -> None:
    enter(app, person, clock_out_at=None, regular_hours=0)
    with pytest.raises((errors.UniqueViolation, errors.ExclusionViolation), match="time_entry"):
        enter(app, person, clock_in_at=OUT, clock_out_at=None, regular_hours=0)


def test_hours_do_not_overlap(app: Connection, person: UUID) -> None:
    enter(app, person)
    with pytest.raises(errors.ExclusionViolation, match="time_entry_no_overlap"):
        enter(app, person, clock_in_at="2026-05-04 15:00+00", clock_out_at="2026-05-04 18:00+00")


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"premium_amount": 12}, "premium_when_missed"),
        ({"was_waived": True, "was_missed": True}, "waived_or_missed"),
        ({"ends_at": "2026-05-01 10:00+00"}, "ends_after_start"),
        ({"expected_minutes": 0}, "expected_bounded"),
    ],
)
def test_a_break_is_possible(
    app: Connection, person: UUID, columns: dict[str, Any], truth: str
) -> None:
    entry = enter(app, person)
    with pytest.raises(errors.CheckViolation, match=f"time_entry_break_{truth}"):
        row(app, "rest.time_entry_break", time_entry_id=entry, starts_at=IN, **columns)


def test_a_missed_break_is_paid_for(app: Connection, person: UUID) -> None:
    entry = enter(app, person)
    assert row(
        app, "rest.time_entry_break", time_entry_id=entry, was_missed=True, premium_amount=15
    )
