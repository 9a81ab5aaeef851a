"""Lessons open by their rules, are done by their rules, and hear what quizzes found."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import LATER, School, choice, school

EARLY = "2026-01-06 10:00+00"


def is_open(place: School, lesson: UUID, at: str = LATER) -> bool:
    found = place.connection.execute(
        "SELECT courses.is_released(%s, %s, %s)", [lesson, place.enrollment, at]
    ).fetchone()
    assert found
    return bool(found[0])


def rule(place: School, kind: str, **given: Any) -> UUID:
    return row(place.connection, "courses.release_rule", rule_kind=kind, **given)


def test_a_lesson_without_rules_is_open(app: Connection) -> None:
    place = school(app)
    assert is_open(place, place.lesson())


def test_a_draft_is_closed(app: Connection) -> None:
    place = school(app)
    assert not is_open(place, place.lesson(is_published=False))


@pytest.mark.parametrize("part", ["module", "chapter"])
def test_what_is_in_an_unpublished_module_is_closed(app: Connection, part: str) -> None:
    place = school(app)
    given = {"course_id": place.course, "is_published": True}
    chapter = row(app, "courses.course_module", **given)
    module = row(app, "courses.course_module", parent_module_id=chapter, **given)
    lesson = place.lesson(course_module_id=module)
    assert is_open(place, lesson)
    app.execute(
        "UPDATE courses.course_module SET is_published = false WHERE course_module_id = %s",
        [module if part == "module" else chapter],
    )
    assert not is_open(place, lesson)


def test_a_lesson_of_another_course_is_closed(app: Connection) -> None:
    assert not is_open(school(app), school(app).lesson())


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-02-01 11:59+00", False),
        ("2026-02-01 12:00+00", True),
        ("2026-02-09 11:59+00", True),
        ("2026-02-09 12:00+00", False),
    ],
)
def test_a_date_opens_and_closes(app: Connection, at: str, opens: bool) -> None:
    place = school(app)
    lesson = place.lesson()
    rule(
        place,
        "on_date",
        lesson_id=lesson,
        available_from="2026-02-01 12:00+00",
        available_until="2026-02-09 12:00+00",
    )
    assert is_open(place, lesson, at) == opens


@pytest.mark.parametrize(
    ("at", "opens"), [("2026-01-12 09:59+00", False), ("2026-01-12 10:00+00", True)]
)
@pytest.mark.parametrize("by", ["rule", "module", "chapter"])
def test_content_drips_from_the_start_of_the_learner(
    app: Connection, at: str, opens: bool, by: str
) -> None:
    place = school(app)
    given = {"course_id": place.course, "is_published": True}
    chapter = row(
        app,
        "courses.course_module",
        unlock_after_days=7 if by == "chapter" else 0,
        **given,
    )
    module = row(
        app,
        "courses.course_module",
        parent_module_id=chapter,
        unlock_after_days=7 if by == "module" else 0,
        **given,
    )
    lesson = place.lesson(course_module_id=module)
    if by == "rule":
        rule(place, "days_after_start", lesson_id=lesson, offset_days=7)
    assert is_open(place, lesson, at) == opens


def test_nothing_drips_before_the_start(app: Connection) -> None:
    place = school(app, started_at=None, enrolled_at=None)
    lesson = place.lesson()
    rule(place, "days_after_start", lesson_id=lesson, offset_days=0)
    assert not is_open(place, lesson)


@pytest.mark.parametrize(
    ("state", "opens"),
    [("in_progress", False), ("failed", False), ("completed", True), ("exempt", True)],
)
def test_a_prior_lesson_opens_the_next(app: Connection, state: str, opens: bool) -> None:
    place = school(app)
    first, second = place.lesson(), place.lesson()
    rule(place, "after_item", lesson_id=second, after_lesson_id=first)
    assert not is_open(place, second)
    done = {"completed_at": LATER, "completion_source": "rule"} if state == "completed" else {}
    row(
        app,
        "courses.lesson_progress",
        enrollment_id=place.enrollment,
        lesson_id=first,
        state=state,
        first_opened_at=LATER,
        **done,
    )
    assert is_open(place, second) == opens


@pytest.mark.parametrize(
    ("score", "opens"), [(None, False), (69.9, False), (70, True), (100, True)]
)
def test_a_score_opens_the_next(app: Connection, score: float | None, opens: bool) -> None:
    place = school(app)
    first, second = place.lesson(), place.lesson()
    rule(place, "minimum_score", lesson_id=second, after_lesson_id=first, minimum_score_pct=70)
    row(
        app,
        "courses.lesson_progress",
        enrollment_id=place.enrollment,
        lesson_id=first,
        state="in_progress",
        first_opened_at=LATER,
        best_score_pct=score,
    )
    assert is_open(place, second) == opens


def test_a_group_sees_what_is_for_it(app: Connection) -> None:
    cohort, other = (
        row(app, "courses.cohort", starts_on="2026-01-05", ends_on="2026-06-30") for _ in range(2)
    )
    place = school(app, cohort_id=cohort)
    ours, theirs = place.lesson(), place.lesson()
    rule(place, "member_of", lesson_id=ours, cohort_id=cohort)
    rule(place, "member_of", lesson_id=theirs, cohort_id=other)
    assert (is_open(place, ours), is_open(place, theirs)) == (True, False)
    imported(
        app,
        "courses.cohort_member",
        cohort_id=other,
        learner_id=place.learner,
        joined_at="2026-02-01 00:00+00",
        left_at="2026-02-10 00:00+00",
    )
    days = ("2026-01-31", "2026-02-01", "2026-02-10")
    assert [is_open(place, theirs, day) for day in days] == [False, True, False]


def test_the_class_of_another_run_does_not_count(app: Connection) -> None:
    place, again = school(app), school(app)
    for section, opens in ((place.section, True), (again.section, False)):
        cohort = row(
            app,
            "courses.cohort",
            course_section_id=section,
            starts_on="2026-01-05",
            ends_on="2026-06-30",
        )
        imported(
            app,
            "courses.cohort_member",
            cohort_id=cohort,
            learner_id=place.learner,
            joined_at="2026-01-05 00:00+00",
        )
        lesson = place.lesson()
        rule(place, "member_of", lesson_id=lesson, cohort_id=cohort)
        assert is_open(place, lesson) == opens


def test_a_rule_for_a_group_holds_for_its_members_only(app: Connection) -> None:
    cohort = row(app, "courses.cohort", starts_on="2026-01-05", ends_on="2026-06-30")
    member, other = school(app, cohort_id=cohort), school(app)
    for place, opens in ((member, False), (other, True)):
        lesson = place.lesson()
        rule(place, "on_date", lesson_id=lesson, cohort_id=cohort, available_from="2026-03-01")
        assert is_open(place, lesson) == opens


def test_a_teacher_opens_by_hand(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    rule(place, "manual", lesson_id=lesson)
    assert not is_open(place, lesson)
    app.execute("UPDATE courses.release_rule SET available_from = %s", [EARLY])
    assert is_open(place, lesson)


def test_all_rules_are_to_be_met(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    rule(place, "on_date", lesson_id=lesson, available_from=EARLY)
    rule(place, "on_date", course_module_id=place.module, available_from="2026-03-01")
    assert not is_open(place, lesson)
    app.execute(
        "UPDATE courses.release_rule SET is_active = false WHERE course_module_id IS NOT NULL"
    )
    assert is_open(place, lesson)


def test_a_preview_is_open_to_all(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson(is_preview=True)
    rule(place, "on_date", lesson_id=lesson, available_from="2036-01-01")
    assert is_open(place, lesson)


def test_what_keeps_a_lesson_closed_is_told(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    made = rule(
        place,
        "on_date",
        lesson_id=lesson,
        available_from="2026-03-01 00:00+00",
        message="Opens in March.",
        shows_locked=False,
    )
    found = place.connection.execute(
        "SELECT lesson_id, release_rule_id, rule_kind, shows_locked, opens_at::date::text,"
        " message FROM courses.unmet_rules(%s, %s)",
        [place.enrollment, LATER],
    ).fetchall()
    assert found == [(lesson, made, "on_date", False, "2026-03-01", "Opens in March.")]


OPENED = {"kind": "opened"}


@pytest.mark.parametrize(
    ("lesson", "events", "state"),
    [
        ({}, [OPENED], "completed"),
        ({"completion_rule": "scrolled"}, [OPENED], "in_progress"),
        (
            {"completion_rule": "scrolled"},
            [OPENED, {"kind": "scrolled", "scroll_pct": 94}],
            "in_progress",
        ),
        (
            {"completion_rule": "scrolled"},
            [{"kind": "scrolled", "scroll_pct": 95}],
            "completed",
        ),
        (
            {"completion_rule": "minimum_time", "minimum_seconds": 60},
            [{"kind": "time", "seconds": 30}, {"kind": "time", "seconds": 29}],
            "in_progress",
        ),
        (
            {"completion_rule": "minimum_time", "minimum_seconds": 60},
            [{"kind": "time", "seconds": 30}, {"kind": "time", "seconds": 30}],
            "completed",
        ),
        (
            {
                "lesson_kind": "video",
                "completion_rule": "minimum_watch",
                "minimum_watch_pct": 80,
            },
            [{"kind": "watched", "watched_pct": 79.9}],
            "in_progress",
        ),
        (
            {
                "lesson_kind": "video",
                "completion_rule": "minimum_watch",
                "minimum_watch_pct": 80,
            },
            [{"kind": "watched", "watched_pct": 80}],
            "completed",
        ),
        (
            {"lesson_kind": "assignment", "completion_rule": "submitted"},
            [OPENED],
            "in_progress",
        ),
        (
            {"lesson_kind": "assignment", "completion_rule": "submitted"},
            [{"kind": "submitted"}],
            "completed",
        ),
        (
            {"lesson_kind": "assessment", "completion_rule": "passed"},
            [{"kind": "submitted"}],
            "in_progress",
        ),
        (
            {"lesson_kind": "assessment", "completion_rule": "passed"},
            [{"kind": "graded", "score_pct": 40, "passed": False}],
            "failed",
        ),
        (
            {"lesson_kind": "assessment", "completion_rule": "passed"},
            [
                {"kind": "graded", "score_pct": 40, "passed": False},
                {"kind": "graded", "score_pct": 80, "passed": True},
            ],
            "completed",
        ),
        ({"completion_rule": "manual"}, [OPENED], "in_progress"),
        ({"completion_rule": "manual"}, [{"kind": "marked"}], "completed"),
        ({"completion_rule": "manual"}, [{"kind": "exempted"}], "exempt"),
        ({"completion_rule": "manual"}, [{"kind": "exempted"}, OPENED], "exempt"),
        ({}, [OPENED, {"kind": "exempted"}], "completed"),
    ],
)
def test_a_lesson_is_done_by_its_rule(
    app: Connection, lesson: dict[str, Any], events: list[dict[str, Any]], state: str
) -> None:
    place = school(app)
    made = place.lesson(**lesson)
    place.lesson()
    found = None
    for event in events:
        found = place.report(made, **event)
    done = 50.0 if state in ("completed", "exempt") else 0.0
    assert found == (state, done)


def test_time_and_openings_are_counted_after_completion(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    place.lesson()
    place.report(lesson, kind="opened", seconds=30)
    place.report(lesson, at="2026-02-03 10:00+00", kind="opened", seconds=40)
    found = app.execute(
        "SELECT open_count, seconds_spent, completed_at = %s,"
        " last_opened_at = '2026-02-03 10:00+00'"
        " FROM courses.lesson_progress",
        [LATER],
    ).fetchone()
    assert found == (2, 70, True, True)


def test_what_happened_is_on_record(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson(lesson_kind="assessment", completion_rule="passed")
    place.report(lesson, kind="opened", seconds=30)
    place.report(lesson, kind="time", seconds=30)
    place.report(lesson, kind="graded", score_pct=55, passed=False)
    place.report(lesson, kind="graded", score_pct=80, passed=True)
    told = app.execute(
        "SELECT verb, score_scaled::float8, success FROM courses.learning_statement"
        " WHERE object_id = %s ORDER BY learning_statement_id",
        [lesson],
    ).fetchall()
    assert told == [
        ("experienced", None, None),
        ("failed", 0.55, False),
        ("passed", 0.8, True),
    ]


def test_a_closed_lesson_is_refused(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    rule(place, "on_date", lesson_id=lesson, available_from="2036-01-01")
    with pytest.raises(errors.CheckViolation, match="not open yet"):
        place.report(lesson, kind="opened")


@pytest.mark.parametrize("status", ["requested", "paused", "withdrawn", "expired"])
def test_only_who_learns_takes_lessons(app: Connection, status: str) -> None:
    place = school(app, status=status)
    with pytest.raises(errors.CheckViolation, match="takes no lessons"):
        place.report(place.lesson(), kind="opened")


@pytest.mark.parametrize("event", [{"kind": "danced"}, {}, {"kind": "time", "seconds": -1}])
def test_what_is_no_event_is_refused(app: Connection, event: dict[str, Any]) -> None:
    place = school(app)
    with pytest.raises(errors.InvalidParameterValue, match="no lesson event"):
        place.report(place.lesson(), **event)


def test_a_lesson_hears_what_its_quiz_found(app: Connection) -> None:
    place = school(app)
    asked, (right, wrong) = choice(app)
    lesson = place.lesson(lesson_kind="assessment", completion_rule="passed")
    quiz = place.quiz(asked, lesson_id=lesson, passing_pct=60)
    known = "SELECT state, best_score_pct::float8 FROM courses.lesson_progress WHERE lesson_id = %s"
    for option, expected in ((wrong, ("failed", 0.0)), (right, ("completed", 100.0))):
        attempt = place.start(quiz)
        place.answer(attempt, asked, {"option": option})
        place.submit(attempt)
        assert app.execute(known.encode(), [lesson]).fetchone() == expected


def test_a_quiz_on_a_closed_lesson_is_not_started(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson(lesson_kind="assessment")
    rule(place, "on_date", lesson_id=lesson, available_from="2036-01-01")
    quiz = place.quiz(choice(app)[0], lesson_id=lesson)
    with pytest.raises(errors.CheckViolation, match="not open yet"):
        place.start(quiz)


def test_a_quiz_opens_what_waits_for_its_score(app: Connection) -> None:
    place = school(app)
    asked, (right, _) = choice(app)
    test = place.lesson(lesson_kind="assessment", completion_rule="submitted")
    after = place.lesson()
    rule(place, "minimum_score", lesson_id=after, after_lesson_id=test, minimum_score_pct=80)
    quiz = place.quiz(asked, lesson_id=test)
    place.submit(place.start(quiz))
    assert not is_open(place, after)
    attempt = place.start(quiz)
    place.answer(attempt, asked, {"option": right})
    place.submit(attempt)
    assert is_open(place, after)
