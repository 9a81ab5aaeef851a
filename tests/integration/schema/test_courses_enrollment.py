"""Enrollments follow their edges, hold seats that are counted, and leave a history."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.admissions import change, enrolled, of, one, open_section
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

MACHINES: dict[str, dict[str, set[str]]] = {
    "enrollment": {
        "requested": {"pending_payment", "active", "audit", "withdrawn"},
        "pending_payment": {"active", "withdrawn", "expired"},
        "active": {"paused", "completed", "failed", "withdrawn", "expired", "audit"},
        "paused": {"active", "withdrawn", "expired"},
        "failed": {"active", "expired"},
        "audit": {"active", "withdrawn", "expired"},
        "completed": set(),
        "withdrawn": set(),
        "expired": set(),
    },
    "course_section": {
        "planned": {"open", "cancelled"},
        "open": {"full", "running", "cancelled"},
        "full": {"open", "running", "cancelled"},
        "running": {"completed", "cancelled"},
        "completed": set(),
        "cancelled": set(),
    },
    "waitlist_entry": {
        "waiting": {"offered", "removed"},
        "offered": {"accepted", "expired", "declined", "removed"},
        "accepted": {"waiting"},
        "expired": {"waiting"},
        "declined": {"waiting"},
        "removed": {"waiting"},
    },
}
ALLOWED = [(t, b, a) for t, m in MACHINES.items() for b, after in m.items() for a in sorted(after)]
REFUSED = [(t, b, a) for t, m in MACHINES.items() for b, a in refused(m)]
AT = "2026-05-04 10:00+00"


def stated(table: str, status: str) -> dict[str, Any]:
    """What a row of the table has to hold in a status."""
    if table == "course_section":
        return {"seat_limit": 5}
    if table == "waitlist_entry":
        offered = status != "waiting"
        return {
            "offered_at": AT if offered else None,
            "offer_expires_at": "2036-01-01" if offered else None,
            "accepted_at": AT if status == "accepted" else None,
        }
    return {
        "enrolled_at": AT,
        "completed_at": AT if status == "completed" else None,
        "withdrawn_at": AT if status == "withdrawn" else None,
        "withdrawal_reason": "time" if status == "withdrawn" else None,
    }


def history(connection: Connection, table: str, status: str) -> UUID:
    """A row as history brings it in a status."""
    given = stated(table, status)
    if table == "enrollment":
        given["course_section_id"] = imported(connection, "courses.course_section")
    return imported(connection, f"courses.{table}", status=status, **given)


@pytest.mark.parametrize(("table", "before", "after"), ALLOWED)
def test_an_edge_is_followed(app: Connection, table: str, before: str, after: str) -> None:
    made = history(app, table, before)
    change(app, f"courses.{table}", made, status=after, **stated(table, after))
    assert of(app, f"courses.{table}", made, "status") == after


@pytest.mark.parametrize(("table", "before", "after"), REFUSED)
def test_where_no_edge_is_none_is_followed(
    app: Connection, table: str, before: str, after: str
) -> None:
    made = history(app, table, before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        change(app, f"courses.{table}", made, status=after, **stated(table, after))


@pytest.mark.parametrize(
    ("table", "status"),
    [(t, s) for t, m in MACHINES.items() for s in list(m)[1:]],
)
def test_it_begins_at_the_beginning(app: Connection, table: str, status: str) -> None:
    given = stated(table, status)
    if table == "enrollment":
        given["course_section_id"] = row(app, "courses.course_section")
    with pytest.raises(errors.CheckViolation, match=f"cannot start as {status}"):
        row(app, f"courses.{table}", status=status, **given)


EVENTS = MACHINES["enrollment"]


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, after in EVENTS.items() for a in sorted(after)]
)
def test_a_move_that_is_allowed_is_noted(app: Connection, before: str, after: str) -> None:
    section = row(app, "courses.course_section")
    made = row(app, "courses.enrollment", course_section_id=section)
    assert row(
        app,
        "courses.enrollment_status_event",
        enrollment_id=made,
        from_status=before,
        to_status=after,
    )


@pytest.mark.parametrize(
    ("before", "after"), [*refused(EVENTS), (None, "active"), ("active", "active")]
)
def test_a_move_that_is_not_allowed_is_not_noted(
    app: Connection, before: str | None, after: str
) -> None:
    section = row(app, "courses.course_section")
    made = row(app, "courses.enrollment", course_section_id=section)
    with pytest.raises(errors.CheckViolation, match="follows_an_edge"):
        row(
            app,
            "courses.enrollment_status_event",
            enrollment_id=made,
            from_status=before,
            to_status=after,
        )


def events(connection: Connection, enrollment: UUID) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT from_status, to_status, cause FROM courses.enrollment_status_event"
        " WHERE enrollment_id = %s ORDER BY occurred_at",
        [enrollment],
    ).fetchall()


def test_each_move_is_noted_with_its_cause(app: Connection) -> None:
    made = enrolled(app, open_section(app), "pending_payment", source="self")
    for status in ("active", "paused", "active", "completed"):
        change(app, "courses.enrollment", made, status=status)
    assert events(app, made) == [
        (None, "requested", "learner"),
        ("requested", "pending_payment", "learner"),
        ("pending_payment", "active", "payment"),
        ("active", "paused", "learner"),
        ("paused", "active", "learner"),
        ("active", "completed", "completion_rule"),
    ]


def test_what_is_no_move_is_not_noted(app: Connection) -> None:
    made = enrolled(app, open_section(app))
    change(app, "courses.enrollment", made, progress_pct=40)
    assert len(events(app, made)) == 2


def test_history_brings_its_own_events(app: Connection) -> None:
    made = history(app, "enrollment", "completed")
    assert events(app, made) == []


@pytest.mark.parametrize(
    "change_it",
    [
        "UPDATE courses.enrollment_status_event SET reason = 'other'",
        "DELETE FROM courses.enrollment_status_event",
    ],
)
def test_the_history_stands(app: Connection, change_it: str) -> None:
    enrolled(app, open_section(app))
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute(change_it.encode())


def test_the_application_cannot_rewrite_history(app: Connection) -> None:
    enrolled(app, open_section(app))
    with pytest.raises(psycopg.Error, match="permission denied"):
        app.execute("DELETE FROM courses.enrollment_status_event")


@pytest.mark.parametrize(("days", "due"), [(1, True), (20, False)])
def test_who_withdraws_in_time_gets_the_money_back(app: Connection, days: int, due: bool) -> None:
    line = row(
        app,
        "courses.course_order_line",
        price_offer_id=row(app, "courses.price_offer", program_id=row(app, "courses.program")),
    )
    made = enrolled(app, open_section(app), course_order_line_id=line)
    enrolled_at = one(app, "SELECT now() - make_interval(days => %s)", days)
    change(app, "courses.enrollment", made, enrolled_at=enrolled_at)
    change(app, "courses.enrollment", made, status="withdrawn", withdrawal_reason="cost")
    found = app.execute(
        "SELECT reason, refund_due FROM courses.enrollment_status_event"
        " WHERE enrollment_id = %s AND to_status = 'withdrawn'",
        [made],
    ).fetchone()
    assert found == ("cost", due)


@pytest.mark.parametrize(("setting", "due"), [(30, True), (7, False)])
def test_the_school_says_what_in_time_is(app: Connection, setting: int, due: bool) -> None:
    app.execute(
        "INSERT INTO system_core.setting (business_id, namespace, setting_key, value_type, value,"
        " default_value) VALUES (tenant_mgmt.current_business_id(), 'courses',"
        " 'refund_window_days', 'number', to_jsonb(%s::integer), '14')",
        [setting],
    )
    assert one(app, "SELECT courses.refund_window_days()") == setting
    assert one(app, "SELECT courses.refund_window_days() > 10") is due


def test_a_status_notes_its_time(app: Connection) -> None:
    section = open_section(app)
    made = enrolled(app, section)
    assert of(app, "courses.enrollment", made, "enrolled_at") is not None
    change(app, "courses.enrollment", made, status="withdrawn")
    gone = of(app, "courses.enrollment", made, "withdrawn_at", "withdrawal_reason")
    assert gone[0] is not None
    assert gone[1] == "other"
    done = enrolled(app, section)
    change(app, "courses.enrollment", done, status="completed")
    assert of(app, "courses.enrollment", done, "completed_at") is not None


def seats(connection: Connection, section: UUID) -> Any:
    return of(connection, "courses.course_section", section, "enrolled_count", "status")


@pytest.mark.parametrize(
    ("status", "held"),
    [
        ("requested", 0),
        ("pending_payment", 1),
        ("active", 1),
        ("audit", 1),
        ("withdrawn", 0),
    ],
)
def test_a_status_holds_a_seat_or_not(app: Connection, status: str, held: int) -> None:
    section = open_section(app, seat_limit=3)
    made = enrolled(app, section, status)
    course = of(app, "courses.course_section", section, "course_id")
    assert seats(app, section) == (held, "open")
    assert of(app, "courses.course", course, "enrollment_count") == held
    change(app, "courses.enrollment", made, progress_pct=5)
    assert seats(app, section) == (held, "open")


@pytest.mark.parametrize(
    ("status", "held"), [("completed", 1), ("failed", 1), ("paused", 1), ("expired", 0)]
)
def test_who_ended_keeps_the_seat(app: Connection, status: str, held: int) -> None:
    section = open_section(app)
    change(app, "courses.enrollment", enrolled(app, section), status=status)
    assert seats(app, section) == (held, "open")


def test_a_section_is_full_with_its_last_seat(app: Connection) -> None:
    section = open_section(app, seat_limit=2)
    first = enrolled(app, section)
    assert seats(app, section) == (1, "open")
    enrolled(app, section)
    assert seats(app, section) == (2, "full")
    with pytest.raises(errors.CheckViolation, match="seats_not_oversold"), app.transaction():
        enrolled(app, section)
    change(app, "courses.enrollment", first, status="withdrawn")
    assert seats(app, section) == (1, "open")


def test_many_at_once_are_counted_once(app: Connection) -> None:
    sections = [open_section(app, seat_limit=5) for _ in range(2)]
    for number in range(6):
        enrolled(app, sections[number % 2], "requested")
    app.execute("UPDATE courses.enrollment SET status = 'active'")
    assert [seats(app, s)[0] for s in sections] == [3, 3]
    app.execute("DELETE FROM courses.enrollment WHERE false")
    assert one(app, "SELECT count(*) FROM courses.seat_differences()") == 0


def test_who_moves_to_another_section_takes_the_seat_along(app: Connection) -> None:
    former, after = open_section(app), open_section(app)
    made = enrolled(app, former)
    change(app, "courses.enrollment", made, course_section_id=after)
    assert (seats(app, former)[0], seats(app, after)[0]) == (0, 1)


def test_programs_count_their_learners(app: Connection) -> None:
    program = row(app, "courses.program")
    made = row(app, "courses.enrollment", course_section_id=None, program_id=program)
    change(app, "courses.enrollment", made, status="active")
    assert of(app, "courses.program", program, "enrollment_count") == 1


def test_the_first_enrollment_of_a_learner_is_kept(app: Connection) -> None:
    person = row(app, "courses.learner")
    made = enrolled(app, open_section(app), learner_id=person)
    first = of(app, "courses.enrollment", made, "enrolled_at")
    assert of(app, "courses.learner", person, "first_enrolled_at") == first
    later = enrolled(app, open_section(app), learner_id=person)
    change(app, "courses.enrollment", later, enrolled_at="2036-01-01")
    assert of(app, "courses.learner", person, "first_enrolled_at") == first


@pytest.mark.parametrize(
    "counter",
    [
        "UPDATE courses.course_section SET enrolled_count = 7",
        "UPDATE courses.course SET enrollment_count = 7",
        "UPDATE courses.program SET enrollment_count = 7",
        "UPDATE courses.course_order_line SET seats_assigned = 0",
        "UPDATE courses.cohort SET member_count = 7",
        "UPDATE courses.coupon SET redemption_count = 7",
    ],
)
def test_the_proof_of_seats_finds_what_is_wrong(app: Connection, counter: str) -> None:
    section = open_section(app)
    row(app, "courses.program")
    row(app, "courses.cohort")
    row(app, "courses.coupon")
    line = row(
        app,
        "courses.course_order_line",
        price_offer_id=row(app, "courses.price_offer", program_id=row(app, "courses.program")),
    )
    enrolled(app, section, course_order_line_id=line)
    found = "SELECT count(*) FROM courses.seat_differences()"
    assert one(app, found) == 0
    app.execute(counter.encode())
    assert one(app, found) > 0


def test_a_learner_is_in_a_section_once(app: Connection) -> None:
    section, person = open_section(app), row(app, "courses.learner")
    first = enrolled(app, section, learner_id=person)
    with pytest.raises(errors.UniqueViolation, match="live_in_section"), app.transaction():
        enrolled(app, section, learner_id=person)
    change(app, "courses.enrollment", first, status="withdrawn")
    assert enrolled(app, section, learner_id=person)


def test_a_learner_is_in_a_program_once(app: Connection) -> None:
    program, person = row(app, "courses.program"), row(app, "courses.learner")
    in_program = {"course_section_id": None, "program_id": program, "learner_id": person}
    row(app, "courses.enrollment", **in_program)
    with pytest.raises(errors.UniqueViolation, match="live_in_program"):
        row(app, "courses.enrollment", **in_program)


def test_what_is_not_paid_or_over_expires(app: Connection) -> None:
    section = open_section(app)
    waits, fresh, over, lasts = (
        enrolled(app, section, status)
        for status in ("pending_payment", "pending_payment", "active", "active")
    )
    change(app, "courses.enrollment", waits, enrolled_at="2026-05-01")
    change(app, "courses.enrollment", fresh, enrolled_at="2026-05-03 12:00+00")
    change(app, "courses.enrollment", over, access_until="2026-05-03")
    change(app, "courses.enrollment", lasts, access_until="2026-05-05")
    assert one(app, "SELECT courses.expire_enrollments('2026-05-04 10:00+00')") == 2
    found = [of(app, "courses.enrollment", e, "status") for e in (waits, fresh, over, lasts)]
    assert found == ["expired", "pending_payment", "expired", "active"]
    assert events(app, over)[-1] == ("active", "expired", "expiry")
    assert seats(app, section)[0] == 2


def join(connection: Connection, cohort: UUID, **given: Any) -> UUID:
    return row(connection, "courses.cohort_member", cohort_id=cohort, **given)


def test_a_cohort_counts_its_members(app: Connection) -> None:
    cohort = row(app, "courses.cohort", capacity=2)
    first = join(app, cohort, joined_at="2026-05-01")
    join(app, cohort)
    assert of(app, "courses.cohort", cohort, "member_count") == 2
    with pytest.raises(errors.CheckViolation, match="members_fit"), app.transaction():
        join(app, cohort)
    change(app, "courses.cohort_member", first, left_at="2026-05-02", leave_reason="moved")
    assert of(app, "courses.cohort", cohort, "member_count") == 1
    app.execute("DELETE FROM courses.cohort_member")
    assert of(app, "courses.cohort", cohort, "member_count") == 0


def test_a_learner_is_in_a_cohort_once_at_a_time(app: Connection) -> None:
    cohort, person = row(app, "courses.cohort"), row(app, "courses.learner")
    first = join(app, cohort, learner_id=person, joined_at="2026-05-01")
    with pytest.raises(errors.UniqueViolation, match="live"), app.transaction():
        join(app, cohort, learner_id=person, joined_at="2026-05-03")
    change(app, "courses.cohort_member", first, left_at="2026-05-02", leave_reason="dropped")
    join(app, cohort, learner_id=person, joined_at="2026-05-03")
    found = "SELECT count(*) FROM courses.cohort_member WHERE is_active"
    assert one(app, found) == 1


def accommodate(
    connection: Connection, person: UUID, start: str, end: str | None, **given: Any
) -> UUID:
    return row(
        connection,
        "courses.learner_accommodation",
        learner_id=person,
        valid_from=start,
        valid_until=end,
        **{"status": "approved", **given},
    )


def test_adjustments_of_a_kind_do_not_overlap(app: Connection) -> None:
    person = row(app, "courses.learner")
    accommodate(app, person, "2026-01-01", "2026-06-01")
    accommodate(app, person, "2026-06-01", None)
    accommodate(app, person, "2026-01-01", None, accommodation="reader", time_multiplier=None)
    accommodate(app, person, "2026-03-01", None, status="requested")
    with pytest.raises(errors.ExclusionViolation):
        accommodate(app, person, "2026-03-01", "2026-04-01")


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("learner", {"is_minor": True}, "minor_has_consent"),
        ("learner", {"weekly_minutes_goal": 10081}, "weekly_goal_fits_a_week"),
        ("learner_accommodation", {"time_multiplier": 3.5}, "time_is_stretched"),
        ("learner_accommodation", {"time_multiplier": None}, "time_is_stretched"),
        (
            "learner_accommodation",
            {"accommodation": "extra_attempts"},
            "attempts_are_added",
        ),
        ("learner_accommodation", {"extra_attempts": 21}, "attempts_are_added"),
        (
            "learner_accommodation",
            {"accommodation": "flexible_deadline"},
            "days_are_added",
        ),
        ("learner_accommodation", {"deadline_extension_days": 0}, "days_are_added"),
        ("learner_accommodation", {"valid_until": "2026-05-04"}, "ends_after_start"),
        ("cohort", {"ends_on": "2026-05-04"}, "ends_after_start"),
        ("cohort", {"capacity": 0}, "capacity_positive"),
        ("cohort_member", {"leave_reason": "moved"}, "reason_of_leaving"),
        (
            "cohort_member",
            {"joined_at": "2026-05-04", "left_at": "2026-05-04", "leave_reason": "moved"},
            "leaves_after_joining",
        ),
        ("enrollment", {"course_section_id": None}, "in_section_or_program"),
        ("waitlist_entry", {"position": 0}, "position_positive"),
        ("waitlist_entry", {"offered_at": "2026-05-04"}, "waits_without_offer"),
        ("waitlist_entry", {"accepted_at": "2026-05-04"}, "accepted_has_time"),
        ("waitlist_entry", {"notification_count": -1}, "notifications_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"courses.{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"progress_pct": 101}, "progress_is_a_share"),
        ({"final_grade_pct": -1}, "grade_is_a_share"),
        ({"enrolled_at": "2026-05-04", "started_at": "2026-05-03"}, "times_in_order"),
        ({"started_at": "2026-05-04", "completed_at": "2026-05-03"}, "times_in_order"),
        ({"withdrawn_at": "2026-05-04"}, "withdrawn_for_a_reason"),
        ({"withdrawal_reason": "time"}, "withdrawn_for_a_reason"),
        ({"withdrawal_reason": "bored"}, "withdrawal_reason_known"),
        ({"program_id": "mine"}, "in_section_or_program"),
    ],
)
def test_an_enrollment_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    if "program_id" in columns:
        columns = {"program_id": row(app, "courses.program")}
    section = row(app, "courses.course_section")
    with pytest.raises(errors.CheckViolation, match=f"enrollment_{truth}"):
        row(app, "courses.enrollment", course_section_id=section, **columns)
