"""Classes do not collide, attendance and reviews are of one's own course, programs are audited."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.admissions import change, enrolled, learner, of, one, open_section
from tests.integration.schema.rows import imported, row


def meeting(connection: Connection, start: str, end: str, **given: Any) -> UUID:
    return row(
        connection,
        "courses.class_meeting",
        starts_at=f"2026-05-04 {start}+00",
        ends_at=f"2026-05-04 {end}+00",
        **given,
    )


def test_an_instructor_is_in_one_class_at_a_time(app: Connection) -> None:
    teacher = row(app, "courses.instructor")
    meeting(app, "10:00", "11:00", instructor_id=teacher)
    meeting(app, "11:00", "12:00", instructor_id=teacher)
    meeting(app, "10:30", "11:30", instructor_id=row(app, "courses.instructor"))
    meeting(app, "10:30", "11:30", instructor_id=None)
    meeting(app, "10:30", "11:30", instructor_id=None)
    meeting(
        app,
        "10:30",
        "11:30",
        instructor_id=teacher,
        status="cancelled",
        cancelled_reason="Snow",
    )
    with pytest.raises(errors.ExclusionViolation):
        meeting(app, "10:30", "11:30", instructor_id=teacher)


def attend(connection: Connection, meeting: UUID, enrollment: UUID, **given: Any) -> UUID:
    return row(
        connection,
        "courses.meeting_attendance",
        class_meeting_id=meeting,
        enrollment_id=enrollment,
        **given,
    )


def class_of_an_hour(connection: Connection) -> tuple[UUID, UUID]:
    section = open_section(connection)
    return (
        meeting(connection, "10:00", "11:00", course_section_id=section),
        enrolled(connection, section),
    )


def test_nobody_is_present_for_longer_than_the_class(app: Connection) -> None:
    hour, seat = class_of_an_hour(app)
    made = attend(app, hour, seat, minutes_present=60)
    with pytest.raises(errors.CheckViolation, match="did not last 61 minutes"), app.transaction():
        change(app, "courses.meeting_attendance", made, minutes_present=61)
    # A recording may be watched as often as one likes.
    change(app, "courses.meeting_attendance", made, status="watched_recording", minutes_present=90)


def test_one_attends_the_classes_of_ones_own_section(app: Connection) -> None:
    hour, _ = class_of_an_hour(app)
    _, seat = class_of_an_hour(app)
    with pytest.raises(errors.CheckViolation, match="of another section"):
        attend(app, hour, seat)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"joined_at": "2026-05-04 10:30+00", "left_at": "2026-05-04 10:29+00"}, "left_after"),
        (
            {
                "joined_at": "2026-05-04 10:00+00",
                "left_at": "2026-05-04 10:20+00",
                "minutes_present": 21,
            },
            "minutes_within_stay",
        ),
        ({"status": "absent", "minutes_present": 5}, "absent_was_not_there"),
        ({"status": "excused"}, "excused_for_a_reason"),
        ({"camera_on_pct": 101}, "camera_is_a_share"),
        ({"chat_messages": -1}, "counts_not_negative"),
    ],
)
def test_an_attendance_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    hour, seat = class_of_an_hour(app)
    with pytest.raises(errors.CheckViolation, match=f"meeting_attendance_{truth}"):
        attend(app, hour, seat, **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"ends_at": "2026-05-04 10:00+00"}, "ends_after_start"),
        ({"ends_at": "2026-05-06 10:00+00"}, "ends_within_a_day"),
        ({"join_url_ref": None}, "online_can_be_joined"),
        ({"status": "cancelled"}, "cancelled_for_a_reason"),
        ({"recording_state": "available"}, "recorded_after_it_began"),
        ({"capacity": 0}, "capacity_positive"),
    ],
)
def test_a_meeting_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"class_meeting_{truth}"):
        row(app, "courses.class_meeting", **columns)


def test_a_room_needs_no_address(app: Connection) -> None:
    assert row(app, "courses.class_meeting", mode="classroom", join_url_ref=None, room="B 12")


def taken(connection: Connection, progress: float | None = 40, **given: Any) -> tuple[UUID, UUID]:
    """An enrollment with some progress, and its course."""
    section = open_section(connection, **given)
    seat = enrolled(connection, section, progress_pct=progress)
    return seat, of(connection, "courses.course_section", section, "course_id")


def review(connection: Connection, seat: UUID, course: UUID, rating: int, **given: Any) -> UUID:
    return row(
        connection,
        "courses.course_review",
        enrollment_id=seat,
        course_id=course,
        rating=rating,
        **{"submitted_at": "2026-05-04", **given},
    )


@pytest.mark.parametrize(("progress", "refused"), [(None, True), (24.9, True), (25, False)])
def test_a_course_is_reviewed_after_a_quarter(
    app: Connection, progress: float | None, refused: bool
) -> None:
    seat, course = taken(app, progress)
    if refused:
        with pytest.raises(errors.CheckViolation, match="reviewed from 25 %"):
            review(app, seat, course, 5)
    else:
        assert review(app, seat, course, 5)


def test_history_may_hold_reviews_of_the_impatient(app: Connection) -> None:
    seat, course = taken(app, 10)
    assert imported(app, "courses.course_review", enrollment_id=seat, course_id=course, rating=1)


def test_one_reviews_the_course_that_one_took(app: Connection) -> None:
    seat, course = taken(app)
    _, other = taken(app)
    with pytest.raises(errors.CheckViolation, match="not in the course"), app.transaction():
        review(app, seat, other, 5)
    review(app, seat, course, 5)
    with pytest.raises(errors.UniqueViolation):
        review(app, seat, course, 4)


def test_published_reviews_rate_the_course_and_who_leads_it(app: Connection) -> None:
    teacher = row(app, "courses.instructor")
    section = open_section(app)
    course = of(app, "courses.course_section", section, "course_id")
    row(
        app,
        "courses.section_instructor",
        course_section_id=section,
        instructor_id=teacher,
        role="lead",
    )
    made = [
        review(
            app,
            enrolled(app, section, progress_pct=50),
            course,
            rating,
            instructor_rating=rating - 1,
        )
        for rating in (5, 4, 2)
    ]
    assert of(app, "courses.course", course, "average_rating") is None
    for each in made[:2]:
        change(app, "courses.course_review", each, status="published")
    assert of(app, "courses.course", course, "average_rating") == Decimal("4.50")
    assert of(app, "courses.instructor", teacher, "average_rating") == Decimal("3.50")
    change(app, "courses.course_review", made[2], status="published")
    assert of(app, "courses.course", course, "average_rating") == Decimal("3.67")
    change(app, "courses.course_review", made[2], status="hidden")
    assert of(app, "courses.course", course, "average_rating") == Decimal("4.50")
    change(app, "courses.course_review", made[0], rating=1)
    assert of(app, "courses.course", course, "average_rating") == Decimal("2.50")
    app.execute("DELETE FROM courses.course_review")
    assert of(app, "courses.course", course, "average_rating") is None


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"rating": 6}, "has_five_stars"),
        ({"content_rating": 0}, "has_five_stars"),
        ({"reply_text": "Thank you"}, "reply_is_whole"),
        ({"reply_text": "Thank you", "replied_at": "2026-05-03"}, "replied_after_it"),
        ({"moderated_at": "2026-05-05"}, "moderation_is_whole"),
        ({"helpful_count": -1}, "helpful_not_negative"),
    ],
)
def test_a_review_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    seat, course = taken(app)
    with pytest.raises(errors.CheckViolation, match=f"course_review_{truth}"):
        review(app, seat, course, **{"rating": 4, **columns})


class Track:
    """A program with a learner in it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.program = row(connection, "courses.program")
        self.learner = learner(connection)
        self.number = 0

    def add(self, kind: str, parent: UUID | None = None, **given: Any) -> UUID:
        """An element of the program, the next in order."""
        self.number += 1
        return row(
            self.connection,
            "courses.program_requirement",
            program_id=self.program,
            parent_requirement_id=parent,
            requirement_kind=kind,
            sort_order=self.number,
            **given,
        )

    def course(self, parent: UUID | None = None, credits: float = 3, **given: Any) -> UUID:
        """A course to be taken; returns the course."""
        course = row(self.connection, "courses.course", credit_hours=credits)
        self.add("course", parent, course_id=course, **given)
        return course

    def take(self, course: UUID, status: str = "completed", **given: Any) -> None:
        """The learner takes a course."""
        section = row(self.connection, "courses.course_section", course_id=course)
        imported(
            self.connection,
            "courses.enrollment",
            learner_id=self.learner,
            course_section_id=section,
            status=status,
            enrolled_at="2026-01-05",
            completed_at="2026-05-01" if status == "completed" else None,
            **given,
        )

    def audit(self) -> dict[str, tuple[Any, ...]]:
        """By place: state, credits, how many of how many."""
        found = self.connection.execute(
            "SELECT place, state, credits, met_count, needed_count"
            " FROM courses.program_audit(%s, %s)",
            [self.learner, self.program],
        ).fetchall()
        return {place: tuple(rest) for place, *rest in found}


def test_a_group_is_met_with_all_of_its_parts(app: Connection) -> None:
    track = Track(app)
    group = track.add("group")
    first, second = track.course(group), track.course(group)
    track.course(group, is_optional=True)
    assert track.audit()["1"] == ("open", 0, 0, 2)
    track.take(first)
    track.take(second, "active")
    assert track.audit() == {
        "1": ("in_progress", 3, 1, 2),
        "1.1": ("met", 3, 1, 1),
        "1.2": ("in_progress", 0, 0, 1),
        "1.3": ("open", 0, 0, 1),
    }
    track.take(second)
    assert track.audit()["1"] == ("met", 6, 2, 2)


def test_of_a_choice_so_many_are_needed(app: Connection) -> None:
    track = Track(app)
    choice = track.add("choose_n", choose_count=2)
    courses = [track.course(choice) for _ in range(4)]
    track.take(courses[3])
    assert track.audit()["1"] == ("in_progress", 3, 1, 2)
    track.take(courses[0])
    assert track.audit()["1"] == ("met", 6, 2, 2)


def test_credits_add_up_below(app: Connection) -> None:
    track = Track(app)
    pool = track.add("credits", minimum_credits=7)
    group = track.add("group", pool)
    first, second = track.course(group, 4), track.course(pool, 3)
    track.take(first)
    assert track.audit()["1"][:2] == ("in_progress", 4)
    track.take(second)
    assert track.audit()["1"][:2] == ("met", 7)


@pytest.mark.parametrize(("grade", "state"), [(69, "open"), (70, "met")])
def test_a_grade_is_needed(app: Connection, grade: int, state: str) -> None:
    track = Track(app)
    track.take(track.course(minimum_grade_pct=70), final_grade_pct=grade)
    assert track.audit()["1"][0] == state


@pytest.mark.parametrize(
    ("attained", "state"), [("awarded", "met"), ("eligible", "in_progress"), ("revoked", "open")]
)
def test_a_certificate_is_needed(app: Connection, attained: str, state: str) -> None:
    track = Track(app)
    certificate = row(app, "courses.certification")
    track.add("certification", certification_id=certificate)
    imported(
        app,
        "courses.certification_attainment",
        learner_id=track.learner,
        certification_id=certificate,
        state=attained,
        started_on="2025-12-01",
        awarded_on=None if attained in ("in_progress", "eligible") else "2026-01-01",
        revocation_reason="Fraud" if attained == "revoked" else None,
    )
    assert track.audit()["1"][0] == state


def test_the_audit_is_of_everybody_in_a_program(app: Connection) -> None:
    track = Track(app)
    track.course(track.add("group"))
    assert one(app, "SELECT count(*) FROM courses.v_program_audit") == 0
    row(
        app,
        "courses.enrollment",
        course_section_id=None,
        program_id=track.program,
        learner_id=track.learner,
    )
    found = app.execute(
        "SELECT place, state FROM courses.v_program_audit WHERE learner_id = %s", [track.learner]
    ).fetchall()
    assert found == [("1", "open"), ("1.1", "open")]
