"""Live questions stay as they were asked; terms of a quiz are those of the learner."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import (
    LATER,
    RIGHT,
    School,
    choice,
    go_live,
    question,
    school,
)
from tests.integration.schema.states import refused


def counted(connection: Connection, bank: UUID) -> Any:
    found = connection.execute(
        "SELECT question_count FROM courses.question_bank WHERE question_bank_id = %s", [bank]
    ).fetchone()
    return found and found[0]


def test_a_bank_counts_its_questions(app: Connection) -> None:
    bank, other = row(app, "courses.question_bank"), row(app, "courses.question_bank")
    first, _ = choice(app, question_bank_id=bank)
    draft = row(app, "courses.question", question_bank_id=bank)
    assert (counted(app, bank), counted(app, other)) == (2, 0)
    app.execute(
        "UPDATE courses.question SET question_bank_id = %s WHERE question_id = %s", [other, draft]
    )
    assert (counted(app, bank), counted(app, other)) == (1, 1)
    app.execute("UPDATE courses.question SET status = 'retired' WHERE question_id = %s", [first])
    app.execute("DELETE FROM courses.question WHERE question_id = %s", [draft])
    assert (counted(app, bank), counted(app, other)) == (0, 0)
    assert app.execute("SELECT * FROM courses.question_bank_differences()").fetchall() == []


def test_a_bank_that_counts_wrongly_is_found(app: Connection) -> None:
    bank = row(app, "courses.question_bank")
    app.execute("UPDATE courses.question_bank SET question_count = 3")
    found = app.execute("SELECT * FROM courses.question_bank_differences()").fetchall()
    assert found == [(bank, 3, 0)]


@pytest.mark.parametrize(
    "change",
    [
        "stem = 'other'",
        "points = 9",
        "scoring = 'partial'",
        "question_kind = 'true_false'",
        """interaction = '{"a": 1}'""",
        "version_no = 2, previous_version_id = question_id",
    ],
)
@pytest.mark.parametrize("status", ["live", "retired"])
def test_a_question_that_was_asked_does_not_change(
    app: Connection, change: str, status: str
) -> None:
    choice(app)
    if status == "retired":
        app.execute("UPDATE courses.question SET status = 'retired'")
    with pytest.raises(errors.CheckViolation, match="does not change"):
        app.execute(f"UPDATE courses.question SET {change}".encode())


def test_a_draft_changes(app: Connection) -> None:
    row(app, "courses.question")
    app.execute("UPDATE courses.question SET stem = 'other', points = 3")
    assert app.execute("SELECT stem FROM courses.question").fetchone() == ("other",)


def test_a_live_question_is_not_deleted(app: Connection) -> None:
    question(app, question_kind="essay", scoring="manual")
    with pytest.raises(errors.CheckViolation, match="does not change"):
        app.execute("DELETE FROM courses.question")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE courses.answer_option SET option_text = 'other'",
        "DELETE FROM courses.answer_option",
        "INSERT INTO courses.answer_option (business_id, question_id, sort_order, option_text)"
        " SELECT business_id, question_id, 99, 'late' FROM courses.question",
    ],
)
def test_options_of_a_live_question_do_not_change(app: Connection, change: str) -> None:
    choice(app)
    with pytest.raises(errors.CheckViolation, match="options do not change"):
        app.execute(change.encode())


@pytest.mark.parametrize(
    ("kind", "correct", "holds"),
    [
        ("single_choice", 1, True),
        ("single_choice", 0, False),
        ("single_choice", 2, False),
        ("true_false", 1, True),
        ("true_false", 2, False),
        ("multiple_choice", 2, True),
        ("multiple_choice", 0, False),
        ("short_answer", 0, True),
    ],
)
def test_a_choice_can_be_answered_rightly(
    app: Connection, kind: str, correct: int, holds: bool
) -> None:
    options = [RIGHT] * correct + [{}] * (3 - correct)
    question(app, *options, question_kind=kind)
    if holds:
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return
    with pytest.raises(errors.CheckViolation, match="correct options"):
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_reviewed_choice_keeps_a_right_option(app: Connection) -> None:
    choice(app, live=False)
    app.execute("UPDATE courses.question SET status = 'reviewed'")
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(errors.CheckViolation, match="0 correct options"):
        app.execute("UPDATE courses.answer_option SET is_correct = false")


def revise(connection: Connection, made: UUID, author: UUID, **changes: Any) -> UUID:
    found = connection.execute(
        "SELECT courses.revise_question(%s, %s, %s)", [made, author, json.dumps(changes)]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def test_a_change_makes_a_new_version(app: Connection, account: UUID) -> None:
    first, _ = choice(app, stem="Which?", points=2)
    second = revise(app, first, account, stem="Which one?")
    found = app.execute(
        "SELECT stem, points::int, version_no, previous_version_id, status,"
        " (SELECT count(*) FROM courses.answer_option AS o WHERE o.question_id = q.question_id)"
        " FROM courses.question AS q WHERE question_id = %s",
        [second],
    ).fetchone()
    assert found == ("Which one?", 2, 2, first, "draft", 2)
    go_live(app, second)
    before = app.execute(
        "SELECT status, stem FROM courses.question WHERE question_id = %s", [first]
    ).fetchone()
    assert before == ("retired", "Which?")


def test_a_version_has_one_next(app: Connection, account: UUID) -> None:
    first, _ = choice(app)
    revise(app, first, account)
    with pytest.raises(errors.UniqueViolation):
        revise(app, first, account)


def test_only_a_live_question_is_revised(app: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="not live"):
        revise(app, row(app, "courses.question"), account)


def test_a_quiz_that_nobody_took_asks_the_new_version(app: Connection, account: UUID) -> None:
    place = school(app)
    asked, _ = choice(app)
    fresh, taken = place.quiz(asked), place.quiz(asked)
    place.start(taken)
    newer = revise(app, asked, account)
    go_live(app, newer)
    found: dict[UUID, UUID] = dict(
        app.execute("SELECT assessment_id, question_id FROM courses.assessment_slot").fetchall()
    )
    assert found == {fresh: newer, taken: asked}


def test_a_locked_bank_takes_no_question(app: Connection) -> None:
    bank = row(app, "courses.question_bank", is_locked=True)
    with pytest.raises(errors.CheckViolation, match="locked"):
        row(app, "courses.question", question_bank_id=bank)


def test_a_secure_bank_is_not_exported(app: Connection) -> None:
    bank = row(app, "courses.question_bank")
    choice(app, question_bank_id=bank, stem="Which?")
    exported = app.execute("SELECT courses.export_question_bank(%s)", [bank]).fetchone()
    assert exported
    assert [q["stem"] for q in exported[0]["questions"]] == ["Which?"]
    assert len(exported[0]["questions"][0]["options"]) == 2
    app.execute("UPDATE courses.question_bank SET security_level = 'secure'")
    with pytest.raises(errors.InsufficientPrivilege, match="secure"):
        app.execute("SELECT courses.export_question_bank(%s)", [bank])


HOTSPOT = {"image": "map.png", "areas": [{"id": "a", "x": 1, "y": 1, "width": 2, "height": 2}]}
CODE = {"language": "python", "tests": [{"input": "1", "expected": "2"}]}


@pytest.mark.parametrize(
    ("kind", "document", "fits"),
    [
        ("hotspot", HOTSPOT, True),
        ("hotspot", None, False),
        ("hotspot", {"image": "map.png"}, False),
        ("hotspot", {"image": "map.png", "areas": [{"id": "a"}]}, False),
        ("hotspot", {"image": 7, "areas": HOTSPOT["areas"]}, False),
        ("code", CODE, True),
        ("code", {"language": "python", "tests": []}, False),
        ("code", {"language": "python", "tests": [{"input": "1"}]}, False),
        ("fill_blank", {"text": "The {{1}} of two"}, True),
        ("fill_blank", {"text": "No blank"}, False),
        ("fill_blank", None, False),
        ("essay", None, True),
        ("single_choice", None, True),
    ],
)
def test_the_body_of_a_question_fits_its_kind(
    app: Connection, kind: str, document: Any, fits: bool
) -> None:
    found = app.execute(
        "SELECT courses.is_interaction(%s, %s)", [kind, document and json.dumps(document)]
    ).fetchone()
    assert found == (fits,)


def test_a_question_without_its_body_is_not_reviewed(app: Connection) -> None:
    row(app, "courses.question", question_kind="hotspot")
    with pytest.raises(errors.CheckViolation, match="interaction_fits"):
        app.execute("UPDATE courses.question SET status = 'reviewed'")


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("question_bank", {"visibility": "course"}, "of_course_has_course"),
        (
            "question_bank",
            {"visibility": "business", "security_level": "secure"},
            "secure_is_not_for_all",
        ),
        ("question_bank", {"question_count": -1}, "count_not_negative"),
        ("question_bank", {"default_points": 0}, "default_points_positive"),
        ("question", {"points": 0}, "points_positive"),
        ("question", {"question_kind": "essay"}, "read_by_people_is_scored_by_people"),
        ("question", {"penalty_pct": 25}, "penalty_for_negative_marking"),
        ("question", {"scoring": "negative_marking"}, "penalty_for_negative_marking"),
        (
            "question",
            {"scoring": "negative_marking", "penalty_pct": 101},
            "penalty_bounded",
        ),
        ("question", {"version_no": 2}, "first_version_has_none_before"),
        ("question", {"time_estimate_seconds": 0}, "time_positive"),
        ("answer_option", {"credit_pct": 101}, "credit_bounded"),
        ("answer_option", {"credit_pct": -101}, "credit_bounded"),
        ("answer_option", {"is_correct": True}, "correct_has_credit"),
        ("answer_option", {"option_text": None}, "says_something"),
        ("answer_option", {"numeric_value": 3}, "tolerance_of_number"),
        ("answer_option", {"tolerance": 3}, "tolerance_of_number"),
        ("answer_option", {"numeric_value": 3, "tolerance": -1}, "tolerance_not_negative"),
        (
            "assessment",
            {"opens_at": "2026-05-04", "closes_at": "2026-05-04"},
            "closes_after_opening",
        ),
        ("assessment", {"passing_pct": 101}, "passing_bounded"),
        ("assessment", {"time_limit_minutes": 0}, "time_limit_up_to_a_day"),
        ("assessment", {"time_limit_minutes": 1441}, "time_limit_up_to_a_day"),
        ("assessment", {"overdue_handling": "grace_period"}, "grace_for_grace_period"),
        ("assessment", {"grace_minutes": 5}, "grace_for_grace_period"),
        ("assessment", {"max_attempts": 0}, "attempts_positive"),
        ("assessment", {"delay_between_attempts_minutes": -1}, "delay_not_negative"),
        ("assessment", {"review_policy": '{"always": []}'}, "review_policy_known"),
        ("assessment_slot", {}, "asks_or_draws"),
        ("assessment_slot", {"draw_count": 3}, "asks_or_draws|draw_says_how_many"),
        ("assessment_slot", {"max_points": -1}, "asks_or_draws|points_not_negative"),
        ("assessment_override", {}, "for_one"),
        ("assessment_override", {"extra_attempts": 21}, "extra_attempts_bounded"),
        ("assessment_override", {"time_limit_minutes": 1441}, "for_one|time_limit_up_to_a_day"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_({truth})"):
        row(app, f"courses.{table}", **columns)


def test_a_difficulty_is_a_share(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="probability"):
        row(app, "courses.question", difficulty_estimate=1.1)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"draw_count": 51}, "draw_count_bounded"),
        ({"draw_count": None}, "draw_says_how_many"),
        ({"weight": 0}, "weight_positive"),
        ({"slot_no": 0}, "counts_from_1"),
    ],
)
def test_a_draw_is_bounded(app: Connection, columns: dict[str, Any], truth: str) -> None:
    bank = row(app, "courses.question_bank")
    with pytest.raises(errors.CheckViolation, match=truth):
        row(
            app,
            "courses.assessment_slot",
            **{"draw_from_bank_id": bank, "draw_count": 3, **columns},
        )


def test_only_a_draw_names_tags(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="tags_of_draw"):
        row(
            app,
            "courses.assessment_slot",
            question_id=row(app, "courses.question"),
            draw_tags=["L1"],
        )


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"opens_at": "2026-05-05", "closes_at": "2026-05-04"}, "closes_after_opening"),
        ({"expires_at": "2020-01-01"}, "expires_after_grant"),
    ],
)
def test_an_override_has_an_order(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(
            app,
            "courses.assessment_override",
            learner_id=row(app, "courses.learner"),
            **columns,
        )


def test_a_learner_has_one_override_of_a_quiz(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz()
    given = {"assessment_id": quiz, "learner_id": place.learner}
    row(app, "courses.assessment_override", **given)
    with pytest.raises(errors.UniqueViolation, match="learner"):
        row(app, "courses.assessment_override", **given)


def test_an_assessment_is_on_a_lesson_of_its_course(app: Connection) -> None:
    place = school(app)
    place.quiz(lesson_id=place.lesson(lesson_kind="assessment"))
    for lesson, course in (
        (place.lesson(lesson_kind="page"), place.course),
        (place.lesson(lesson_kind="assessment"), row(app, "courses.course")),
    ):
        with pytest.raises(errors.CheckViolation, match="assessment lesson"), app.transaction():
            place.quiz(lesson_id=lesson, course_id=course)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM courses.attempt_response; DELETE FROM courses.assessment_slot",
        "UPDATE courses.assessment_slot SET max_points = 9",
    ],
)
def test_an_assessment_that_was_taken_keeps_its_plan(app: Connection, change: str) -> None:
    place = school(app)
    asked, _ = choice(app)
    place.start(place.quiz(asked))
    with pytest.raises(errors.CheckViolation, match="keeps its questions"):
        app.execute(change.encode())


def terms(place: School, quiz: UUID, at: str = LATER) -> Any:
    return place.connection.execute(
        "SELECT opens_at::date::text, closes_at::date::text, time_limit_minutes, max_attempts"
        " FROM courses.attempt_terms(%s, %s, %s)",
        [quiz, place.enrollment, at],
    ).fetchone()


QUIZ: dict[str, Any] = {
    "opens_at": "2026-02-01 12:00+00",
    "closes_at": "2026-02-10 12:00+00",
    "time_limit_minutes": 30,
    "max_attempts": 2,
}


def test_the_terms_are_the_assessments(app: Connection) -> None:
    place = school(app)
    assert terms(place, place.quiz(**QUIZ)) == ("2026-02-01", "2026-02-10", 30, 2)


def test_the_learners_override_is_before_the_cohorts(app: Connection) -> None:
    cohort = row(app, "courses.cohort", starts_on="2026-01-05", ends_on="2026-06-30")
    place = school(app, cohort_id=cohort)
    quiz = place.quiz(**QUIZ)
    for_all = row(
        app,
        "courses.assessment_override",
        assessment_id=quiz,
        cohort_id=cohort,
        closes_at="2026-02-20 12:00+00",
        granted_at="2026-01-01",
    )
    assert terms(place, quiz) == ("2026-02-01", "2026-02-20", 30, 2)
    row(
        app,
        "courses.assessment_override",
        assessment_id=quiz,
        learner_id=place.learner,
        time_limit_minutes=50,
        extra_attempts=1,
        granted_at="2026-01-01",
        expires_at="2026-03-01",
    )
    assert terms(place, quiz) == ("2026-02-01", "2026-02-10", 50, 3)
    assert terms(place, quiz, "2026-03-02") == ("2026-02-01", "2026-02-20", 30, 2)
    assert for_all


def accommodate(place: School, kind: str, **given: Any) -> UUID:
    return imported(
        place.connection,
        "courses.learner_accommodation",
        **{
            "learner_id": place.learner,
            "accommodation": kind,
            "status": "approved",
            "valid_from": "2026-01-01",
            "valid_until": "2026-06-30",
            **given,
        },
    )


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("extra_time", {"time_multiplier": 1.5}, ("2026-02-01", "2026-02-10", 45, 2)),
        ("extra_attempts", {"extra_attempts": 1}, ("2026-02-01", "2026-02-10", 30, 3)),
        (
            "flexible_deadline",
            {"deadline_extension_days": 5},
            ("2026-02-01", "2026-02-15", 30, 2),
        ),
    ],
)
def test_an_accommodation_holds_also_where_none_wrote_it_down(
    app: Connection, kind: str, given: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    place = school(app)
    quiz = place.quiz(**QUIZ)
    made = accommodate(place, kind, **given)
    assert terms(place, quiz) == expected
    written = app.execute("SELECT courses.apply_accommodation(%s, '2026-01-06')", [made]).fetchone()
    assert written == (1,)
    assert terms(place, quiz) == expected


@pytest.mark.parametrize(
    "given", [{"status": "requested"}, {"status": "denied"}, {"valid_until": "2026-01-31"}]
)
def test_an_accommodation_that_does_not_hold_changes_nothing(
    app: Connection, given: dict[str, Any]
) -> None:
    place = school(app)
    quiz = place.quiz(**QUIZ)
    accommodate(place, "extra_time", time_multiplier=2, **given)
    assert terms(place, quiz) == ("2026-02-01", "2026-02-10", 30, 2)


def test_what_a_teacher_granted_by_hand_stays(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(**QUIZ)
    row(
        app,
        "courses.assessment_override",
        assessment_id=quiz,
        learner_id=place.learner,
        time_limit_minutes=90,
    )
    made = accommodate(place, "extra_time", time_multiplier=1.5)
    assert app.execute("SELECT courses.apply_accommodation(%s)", [made]).fetchone() == (0,)
    assert terms(place, quiz) == ("2026-02-01", "2026-02-10", 90, 2)


def test_two_accommodations_are_in_one_override(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(**QUIZ)
    for made in (
        accommodate(place, "extra_time", time_multiplier=1.5),
        accommodate(place, "extra_attempts", extra_attempts=2),
    ):
        app.execute("SELECT courses.apply_accommodation(%s, '2026-01-06')", [made])
    assert terms(place, quiz) == ("2026-02-01", "2026-02-10", 45, 4)


def test_an_accommodation_that_was_not_approved_is_not_applied(app: Connection) -> None:
    place = school(app)
    made = accommodate(place, "extra_time", time_multiplier=2, status="requested")
    with pytest.raises(errors.CheckViolation, match="not approved"):
        app.execute("SELECT courses.apply_accommodation(%s)", [made])


QUESTION = {
    "draft": {"reviewed", "retired"},
    "reviewed": {"draft", "live", "retired"},
    "live": {"retired"},
    "retired": set[str](),
}


def move(connection: Connection, before: str, after: str) -> None:
    imported(connection, "courses.question", status=before)
    connection.execute(
        sql.SQL("UPDATE courses.question SET status = {}").format(sql.Literal(after))
    )


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b in QUESTION for a in sorted(QUESTION[b])]
)
def test_a_question_goes_where_it_may(app: Connection, before: str, after: str) -> None:
    move(app, before, after)


@pytest.mark.parametrize(("before", "after"), refused(QUESTION))
def test_a_question_goes_nowhere_else(app: Connection, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, before, after)
