"""Attempts are limited, drawn by a seed, frozen when handed in, and scored as their answers are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import LATER, RIGHT, School, choice, question, school
from tests.integration.schema.states import refused
from tests.integration.schema.wear import touched, written


def one(connection: Connection, statement: str, *values: Any) -> Any:
    found = connection.execute(statement.encode(), list(values)).fetchone()
    return found and (found[0] if len(found) == 1 else found)


def stand(connection: Connection, attempt: UUID) -> Any:
    return one(
        connection,
        "SELECT state, score::float8, score_pct::float8, passed FROM courses.assessment_attempt"
        " WHERE assessment_attempt_id = %s",
        attempt,
    )


def test_an_attempt_asks_what_the_assessment_says(app: Connection) -> None:
    place = school(app)
    first, second = choice(app)[0], choice(app)[0]
    attempt = place.start(place.quiz(first, second))
    asked = app.execute(
        "SELECT question_id, max_points::int FROM courses.attempt_response"
        " WHERE assessment_attempt_id = %s",
        [attempt],
    ).fetchall()
    assert sorted(asked) == sorted([(first, 2), (second, 2)])
    order = one(app, "SELECT question_order FROM courses.assessment_attempt")
    assert [entry["question"] for entry in order] == [str(first), str(second)]


def drawn(connection: Connection, quiz: UUID, seed: int) -> list[UUID]:
    found = connection.execute(
        "SELECT question_id FROM courses.draw_questions(%s, %s)", [quiz, seed]
    ).fetchall()
    return [made for (made,) in found]


def bank_of(connection: Connection, questions: int) -> UUID:
    bank = row(connection, "courses.question_bank")
    for _ in range(questions):
        choice(connection, question_bank_id=bank)
    return bank


def draw(place: School, bank: UUID, many: int, **given: Any) -> UUID:
    quiz = place.quiz()
    row(
        place.connection,
        "courses.assessment_slot",
        assessment_id=quiz,
        draw_from_bank_id=bank,
        draw_count=many,
        **given,
    )
    return quiz


def test_the_seed_of_an_attempt_repeats_its_draw(app: Connection) -> None:
    place = school(app)
    quiz = draw(place, bank_of(app, 12), 5)
    attempt = place.start(quiz)
    seed, order = one(app, "SELECT draw_seed, question_order FROM courses.assessment_attempt")
    assert [str(q) for q in drawn(app, quiz, seed)] == [entry["question"] for entry in order]
    asked = app.execute(
        "SELECT question_id FROM courses.attempt_response WHERE assessment_attempt_id = %s",
        [attempt],
    ).fetchall()
    assert {q for (q,) in asked} == set(drawn(app, quiz, seed))


def test_other_seeds_draw_other_questions(app: Connection) -> None:
    place = school(app)
    quiz = draw(place, bank_of(app, 12), 5)
    draws = [drawn(app, quiz, seed) for seed in range(20)]
    assert all(len(set(d)) == 5 for d in draws)
    assert len({tuple(d) for d in draws}) > 15
    assert len({q for d in draws for q in d}) == 12


def test_a_bank_with_fewer_questions_gives_all(app: Connection) -> None:
    place = school(app)
    assert len(drawn(app, draw(place, bank_of(app, 3), 5), 1)) == 3


def test_only_live_questions_are_drawn(app: Connection) -> None:
    place = school(app)
    bank = bank_of(app, 3)
    choice(app, question_bank_id=bank, live=False)
    gone, _ = choice(app, question_bank_id=bank)
    app.execute("UPDATE courses.question SET status = 'retired' WHERE question_id = %s", [gone])
    assert len(drawn(app, draw(place, bank, 9), 1)) == 3


def test_a_fixed_question_is_not_drawn_again(app: Connection) -> None:
    place = school(app)
    bank = bank_of(app, 3)
    fixed = one(app, "SELECT question_id FROM courses.question LIMIT 1")
    quiz = draw(place, bank, 9)
    row(app, "courses.assessment_slot", assessment_id=quiz, question_id=fixed)
    found = drawn(app, quiz, 1)
    assert (len(found), found.count(fixed)) == (3, 1)


def test_a_draw_by_outcome_asks_about_it(app: Connection) -> None:
    place = school(app)
    bank = bank_of(app, 2)
    outcome = row(app, "courses.learning_outcome", code="LOOPS")
    about, _ = choice(app, question_bank_id=bank, learning_outcome_id=outcome)
    assert drawn(app, draw(place, bank, 9, draw_tags=["LOOPS"]), 1) == [about]


def test_shuffled_questions_come_in_another_order(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(*[choice(app)[0] for _ in range(6)])
    plain = {tuple(drawn(app, quiz, seed)) for seed in range(5)}
    app.execute("UPDATE courses.assessment SET shuffle_questions = true")
    shuffled = {tuple(drawn(app, quiz, seed)) for seed in range(5)}
    assert len(plain) == 1
    assert len(shuffled) > 3


def test_who_starts_again_goes_on(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(choice(app)[0])
    assert place.start(quiz) == place.start(quiz, "2026-02-03")


def test_two_starts_at_once_are_one_attempt(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        place = school(connection)
        quiz = place.quiz(choice(connection)[0])
    ready = Barrier(2)

    def start(connection: Connection, _: int) -> Any:
        ready.wait(30)
        return one(
            connection,
            "SELECT courses.start_attempt(%s, %s, NULL, NULL, %s)",
            quiz,
            place.enrollment,
            LATER,
        )

    first, second = at_once(target, tenant, 2, start)
    assert first == second


def test_an_attempt_begins_when_the_one_before_was_in(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(choice(app)[0])
    place.submit(place.start(quiz), "2026-02-02 10:20+00")
    place.start(quiz, "2026-02-02 10:19:59+00")
    began = one(
        app,
        "SELECT started_at = '2026-02-02 10:20+00' FROM courses.assessment_attempt"
        " WHERE attempt_no = 2",
    )
    assert began is True


def test_who_waited_to_begin_hands_in_no_sooner(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(choice(app)[0])
    place.submit(place.start(quiz), "2026-02-02 10:20+00")
    waited = place.start(quiz, "2026-02-02 10:19:59+00")
    assert place.submit(waited, "2026-02-02 10:19:59+00") == "graded"
    handed_in = one(
        app,
        "SELECT submitted_at = '2026-02-02 10:20+00' FROM courses.assessment_attempt"
        " WHERE attempt_no = 2",
    )
    assert handed_in is True


def test_an_attempt_more_than_allowed_is_refused(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(choice(app)[0], max_attempts=2)
    for _ in range(2):
        place.submit(place.start(quiz))
    with pytest.raises(errors.CheckViolation, match="attempt 3 of 2"), app.transaction():
        place.start(quiz)
    row(
        app,
        "courses.assessment_override",
        assessment_id=quiz,
        learner_id=place.learner,
        extra_attempts=1,
    )
    assert place.start(quiz)


def test_the_limit_holds_for_imported_attempts(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(max_attempts=1)
    with pytest.raises(errors.CheckViolation, match="attempt 2 of 1"):
        imported(
            app,
            "courses.assessment_attempt",
            assessment_id=quiz,
            enrollment_id=place.enrollment,
            attempt_no=2,
        )


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-01-31 23:59+00", False),
        ("2026-02-01 00:00+00", True),
        ("2026-02-09 23:59+00", True),
        ("2026-02-10 00:00+00", False),
    ],
)
def test_an_attempt_starts_within_the_window(app: Connection, at: str, opens: bool) -> None:
    place = school(app)
    window = {"opens_at": "2026-02-01 00:00+00", "closes_at": "2026-02-10 00:00+00"}
    quiz = place.quiz(choice(app)[0], **window)
    if opens:
        assert place.start(quiz, at)
        return
    with pytest.raises(errors.CheckViolation, match="is open from"):
        place.start(quiz, at)


def test_the_next_attempt_waits_for_the_delay(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(choice(app)[0], delay_between_attempts_minutes=60)
    place.submit(place.start(quiz, "2026-02-02 10:00+00"), "2026-02-02 10:05+00")
    with pytest.raises(errors.CheckViolation, match="tried again at"), app.transaction():
        place.start(quiz, "2026-02-02 11:04+00")
    assert place.start(quiz, "2026-02-02 11:05+00")


def test_the_delay_counts_from_what_was_handed_in_last(app: Connection) -> None:
    place = school(app)
    terms = {"time_limit_minutes": 30, "overdue_handling": "abandon"}
    quiz = place.quiz(choice(app)[0], delay_between_attempts_minutes=60, **terms)
    place.submit(place.start(quiz, "2026-02-02 10:00+00"), "2026-02-02 10:05+00")
    given_up = place.start(quiz, "2026-02-02 11:05+00")
    assert one(app, "SELECT courses.submit_attempt(%s, '2026-02-02 11:36+00', true)", given_up)
    third = place.start(quiz, "2026-02-02 11:37+00")
    tried = "SELECT attempt_no FROM courses.assessment_attempt WHERE assessment_attempt_id = %s"
    assert one(app, tried, third) == 3


def test_the_last_attempt_of_hundreds_is_read_alone(app: Connection) -> None:
    place = school(app)
    quiz = place.quiz(max_attempts=500)
    written(
        app,
        "INSERT INTO courses.assessment_attempt (business_id, assessment_id, enrollment_id,"
        " attempt_no, state, started_at, submitted_at)"
        " SELECT tenant_mgmt.current_business_id(), %s, %s, n.n, 'submitted',"
        " '2026-02-02 10:00+00'::timestamptz + n.n * interval '1 hour',"
        " '2026-02-02 10:05+00'::timestamptz + n.n * interval '1 hour'"
        " FROM generate_series(1, 400) AS n (n)",
        quiz,
        place.enrollment,
    )
    call = "SELECT l.tried FROM courses.last_attempt(%s, %s) AS l"
    assert one(app, call, quiz, place.enrollment) == 400
    assert touched(app, call, quiz, place.enrollment) < 20


@pytest.mark.parametrize("status", ["withdrawn", "expired", "paused", "completed"])
def test_only_who_learns_is_examined(app: Connection, status: str) -> None:
    place = school(app, status=status)
    quiz = place.quiz(choice(app)[0])
    with pytest.raises(errors.CheckViolation, match="takes no assessment"):
        place.start(quiz)


def test_an_assessment_of_another_course_is_not_taken(app: Connection) -> None:
    quiz = school(app).quiz(choice(app)[0])
    with pytest.raises(errors.CheckViolation, match="another course"):
        school(app).start(quiz)


def test_a_code_opens_the_assessment(app: Connection) -> None:
    place = school(app)
    secret = hashlib.sha256(b"tulip").digest()
    quiz = place.quiz(choice(app)[0], access_code_hash=secret)
    for wrong in (None, "rose"):
        with pytest.raises(errors.InvalidPassword), app.transaction():
            place.start(quiz, code=wrong)
    assert place.start(quiz, code="tulip")


def test_an_assessment_without_questions_is_not_started(app: Connection) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match="no live question"):
        place.start(place.quiz())


def due(place: School, attempt: UUID) -> Any:
    return one(
        place.connection,
        "SELECT to_char(due_at AT TIME ZONE 'UTC', 'DD HH24:MI') FROM courses.assessment_attempt"
        " WHERE assessment_attempt_id = %s",
        attempt,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"time_limit_minutes": 30}, "02 10:30"),
        ({"time_limit_minutes": 30, "closes_at": "2026-02-02 10:10+00"}, "02 10:10"),
        ({"closes_at": "2026-02-04 12:00+00"}, "04 12:00"),
        ({}, None),
    ],
)
def test_an_attempt_is_due_at_the_first_end(
    app: Connection, given: dict[str, Any], expected: str | None
) -> None:
    place = school(app)
    assert due(place, place.start(place.quiz(choice(app)[0], **given))) == expected


def test_more_time_is_more_time(app: Connection) -> None:
    place = school(app)
    imported(
        app,
        "courses.learner_accommodation",
        learner_id=place.learner,
        accommodation="extra_time",
        time_multiplier=1.5,
        status="approved",
        valid_from="2026-01-01",
        valid_until="2026-06-30",
    )
    quiz = place.quiz(choice(app)[0], time_limit_minutes=30)
    assert due(place, place.start(quiz)) == "02 10:45"


def test_an_answer_is_saved_as_often_as_one_likes(app: Connection) -> None:
    place = school(app)
    asked, (right, wrong) = choice(app)
    attempt = place.start(place.quiz(asked))
    assert place.answer(attempt, asked, {"option": wrong}) == 0
    assert place.answer(attempt, asked, {"option": wrong}) == 0
    assert place.answer(attempt, asked, {"option": right}) == 1
    assert one(app, "SELECT time_spent_seconds FROM courses.attempt_response") == 60


def test_a_question_that_was_not_asked_takes_no_answer(app: Connection) -> None:
    place = school(app)
    attempt = place.start(place.quiz(choice(app)[0]))
    assert place.answer(attempt, choice(app)[0], {"text": "x"}) is None


def test_an_attempt_takes_no_question_that_it_did_not_draw(app: Connection) -> None:
    place = school(app)
    place.start(place.quiz(choice(app)[0]))
    easy, _ = choice(app)
    with pytest.raises(errors.CheckViolation, match="does not ask"):
        app.execute(
            "INSERT INTO courses.attempt_response (business_id, assessment_attempt_id,"
            " question_id, assessment_slot_id, sequence_no)"
            " SELECT business_id, assessment_attempt_id, %s, assessment_slot_id, 2"
            " FROM courses.attempt_response",
            [easy],
        )


def test_after_submission_answers_are_frozen(app: Connection) -> None:
    place = school(app)
    asked, (right, _) = choice(app)
    attempt = place.start(place.quiz(asked))
    place.submit(attempt)
    with pytest.raises(errors.CheckViolation, match="answers do not change"):
        place.answer(attempt, asked, {"option": right})


@pytest.mark.parametrize(
    "change",
    [
        "time_spent_seconds = 99",
        "max_points = 99",
        "change_count = 99",
        "first_answered_at = '2026-01-01'",
        "sequence_no = 99",
        """response = '{"parts": []}', first_answered_at = now(), last_saved_at = now()""",
    ],
)
def test_after_submission_only_grades_change(app: Connection, change: str) -> None:
    place = school(app)
    place.submit(place.start(place.quiz(choice(app)[0])))
    app.execute(
        "UPDATE courses.attempt_response SET points_awarded = 1, grader_comment = 'half right',"
        " is_flagged = true"
    )
    with pytest.raises(errors.CheckViolation, match="answers do not change"):
        app.execute(f"UPDATE courses.attempt_response SET {change}".encode())


def test_nothing_is_added_after_submission(app: Connection) -> None:
    place = school(app)
    place.submit(place.start(place.quiz(choice(app)[0])))
    with pytest.raises(errors.CheckViolation, match="answers do not change"):
        app.execute(
            "INSERT INTO courses.attempt_response (business_id, assessment_attempt_id,"
            " question_id, assessment_slot_id, sequence_no)"
            " SELECT business_id, assessment_attempt_id, question_id, assessment_slot_id, 2"
            " FROM courses.attempt_response"
        )


def test_an_answer_after_the_time_is_refused(app: Connection) -> None:
    place = school(app)
    asked, (right, _) = choice(app)
    attempt = place.start(place.quiz(asked, time_limit_minutes=30))
    place.answer(attempt, asked, {"option": right}, at="2026-02-02 10:30+00")
    with pytest.raises(errors.CheckViolation, match="time of this attempt ended"):
        place.answer(attempt, asked, {"option": right}, at="2026-02-02 10:30:01+00")


def test_an_answer_saved_while_it_is_handed_in_is_in_it_or_refused(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        place = school(connection)
        asked, (right, _) = choice(connection)
        attempt = place.start(place.quiz(asked))
    ready = Barrier(2)

    def work(connection: Connection, hand: int) -> Any:
        ready.wait(30)
        if hand == 0:
            return one(connection, "SELECT courses.submit_attempt(%s, %s)", attempt, LATER)
        try:
            answer = json.dumps({"parts": [{"option": str(right)}]})
            return one(
                connection,
                "SELECT courses.save_answer(%s, %s, %s, 0, %s)",
                attempt,
                asked,
                answer,
                LATER,
            )
        except errors.CheckViolation:
            connection.rollback()
            return "refused"

    state, saved = at_once(target, tenant, 2, work)
    assert state == "graded"
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        points = one(connection, "SELECT points_awarded::int FROM courses.attempt_response")
        assert points == (0 if saved == "refused" else 2)


# What an answer earns of two points. "@n" stands for the nth option of the question.
PARTIAL = {"scoring": "partial"}
NEGATIVE = {"scoring": "negative_marking", "penalty_pct": 25}
HALF = {"credit_pct": 50}
MULTIPLE = [
    {"is_correct": True, "credit_pct": 50},
    {"is_correct": True, "credit_pct": 50},
    {"credit_pct": -50},
]
PAIRS = [{"option_text": c, "match_text": m} for c, m in (("France", "Paris"), ("Peru", "Lima"))]
ITEMS = [{"option_text": text} for text in ("one", "two", "three", "four")]
BLANKS = [{"option_text": "colour|color"}, {"option_text": "gray|grey"}]
AREA = json.dumps(
    {"image": "m.png", "areas": [{"id": "a", "x": 10, "y": 10, "width": 5, "height": 5}]}
)
TEXT = json.dumps({"text": "The {{1}} is {{2}}"})
SHORT = [
    {"option_text": "photosynthesis", "credit_pct": 100},
    {"option_text": "synthesis", **HALF},
]
NUMBER = [
    {"option_text": None, "numeric_value": 3.14, "tolerance": 0.01, "credit_pct": 100},
    {"option_text": None, "numeric_value": 3, "tolerance": 0.2, **HALF},
]

ANSWERS: list[tuple[str, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]], float]] = [
    ("single_choice", {}, [RIGHT, {}], [{"option": "@0"}], 2),
    ("single_choice", {}, [RIGHT, {}], [{"option": "@1"}], 0),
    ("single_choice", {}, [RIGHT, HALF], [{"option": "@1"}], 0),
    ("single_choice", PARTIAL, [RIGHT, HALF], [{"option": "@1"}], 1),
    ("single_choice", NEGATIVE, [RIGHT, {}], [{"option": "@1"}], -0.5),
    ("single_choice", NEGATIVE, [RIGHT, {}], [{"option": "@0"}], 2),
    ("single_choice", NEGATIVE, [RIGHT, {}], [], 0),
    ("single_choice", {}, [RIGHT, {}], [{"option": "no uuid"}], 0),
    ("true_false", {}, [RIGHT, {}], [{"option": "@0"}], 2),
    ("true_false", NEGATIVE, [RIGHT, {}], [{"option": "@1"}], -0.5),
    ("multiple_choice", {}, MULTIPLE, [{"option": "@0"}, {"option": "@1"}], 2),
    ("multiple_choice", {}, MULTIPLE, [{"option": "@0"}], 0),
    ("multiple_choice", {}, MULTIPLE, [{"option": f"@{n}"} for n in range(3)], 0),
    ("multiple_choice", PARTIAL, MULTIPLE, [{"option": "@0"}], 1),
    ("multiple_choice", PARTIAL, MULTIPLE, [{"option": f"@{n}"} for n in range(3)], 1),
    ("multiple_choice", PARTIAL, MULTIPLE, [{"option": "@2"}], 0),
    ("multiple_choice", NEGATIVE, MULTIPLE, [{"option": "@2"}], -0.5),
    ("multiple_choice", NEGATIVE, MULTIPLE, [{"option": "@1"}], 1),
    ("short_answer", {}, SHORT, [{"text": "Photosynthesis "}], 2),
    ("short_answer", {}, SHORT, [{"text": "synthesis"}], 0),
    ("short_answer", PARTIAL, SHORT, [{"text": "synthesis"}], 1),
    ("short_answer", {}, SHORT, [{"text": "osmosis"}], 0),
    ("numeric", {}, NUMBER, [{"number": 3.15}], 2),
    ("numeric", {}, NUMBER, [{"number": 3.1501}], 0),
    ("numeric", PARTIAL, NUMBER, [{"number": 3.1501}], 1),
    ("numeric", PARTIAL, NUMBER, [{"number": -3.14}], 0),
    (
        "matching",
        {},
        PAIRS,
        [{"option": "@0", "text": "Paris"}, {"option": "@1", "text": "lima"}],
        2,
    ),
    (
        "matching",
        PARTIAL,
        PAIRS,
        [{"option": "@0", "text": "Paris"}, {"option": "@1", "text": "Quito"}],
        1,
    ),
    ("matching", {}, PAIRS, [{"option": "@0", "text": "Paris"}], 0),
    ("ordering", {}, ITEMS, [{"option": f"@{n}", "order": n + 1} for n in range(4)], 2),
    (
        "ordering",
        PARTIAL,
        ITEMS,
        [{"option": f"@{n}", "order": p} for n, p in enumerate([2, 1, 3, 4])],
        1,
    ),
    (
        "ordering",
        {},
        ITEMS,
        [{"option": f"@{n}", "order": p} for n, p in enumerate([2, 1, 3, 4])],
        0,
    ),
    (
        "fill_blank",
        {"interaction": TEXT},
        BLANKS,
        [{"option": "@0", "text": "Color"}, {"option": "@1", "text": "grey"}],
        2,
    ),
    (
        "fill_blank",
        {"interaction": TEXT, **PARTIAL},
        BLANKS,
        [{"option": "@0", "text": "color"}, {"option": "@1", "text": "blue"}],
        1,
    ),
    ("hotspot", {"interaction": AREA}, [], [{"x": 12, "y": 15}], 2),
    ("hotspot", {"interaction": AREA}, [], [{"x": 12, "y": 15.1}], 0),
    ("hotspot", {"interaction": AREA, **NEGATIVE}, [], [{"x": 1, "y": 1}], -0.5),
]


@pytest.mark.parametrize(("kind", "given", "options", "parts", "earned"), ANSWERS)
def test_an_answer_earns_its_points(
    app: Connection,
    kind: str,
    given: dict[str, Any],
    options: list[dict[str, Any]],
    parts: list[dict[str, Any]],
    earned: float,
) -> None:
    place = school(app)
    asked, choices = question(app, *options, question_kind=kind, **given)
    attempt = place.start(place.quiz(asked))
    for part in parts:
        if str(part.get("option", "")).startswith("@"):
            part = part | {"option": choices[int(part["option"][1:])]}
        parts = [*parts[1:], part]
    place.answer(attempt, asked, *parts)
    assert place.submit(attempt) == "graded"
    found = one(app, "SELECT points_awarded::float8, is_correct FROM courses.attempt_response")
    assert found == (earned, earned == 2)
    assert stand(app, attempt)[1:3] == (max(earned, 0), max(earned, 0) * 50)


def test_what_was_left_out_earns_and_costs_nothing(app: Connection) -> None:
    place = school(app)
    asked, _ = choice(app, **NEGATIVE)
    attempt = place.start(place.quiz(asked))
    place.submit(attempt)
    assert stand(app, attempt) == ("graded", 0.0, 0.0, False)


def test_weights_and_extra_credit_count(app: Connection) -> None:
    place = school(app)
    (plain, (one_right, _)), (heavy, _), (extra, (extra_right, _)) = (choice(app) for _ in range(3))
    quiz = place.quiz(plain)
    for asked, given in ((heavy, {"weight": 3}), (extra, {"is_extra_credit": True})):
        row(
            app,
            "courses.assessment_slot",
            assessment_id=quiz,
            question_id=asked,
            max_points=2,
            **given,
        )
    attempt = place.start(quiz)
    place.answer(attempt, plain, {"option": one_right})
    place.answer(attempt, extra, {"option": extra_right})
    place.submit(attempt)
    assert stand(app, attempt)[1:3] == (4.0, 50.0)


def test_extra_credit_does_not_pass_a_hundred(app: Connection) -> None:
    place = school(app)
    (plain, (right, _)), (extra, (extra_right, _)) = choice(app), choice(app)
    quiz = place.quiz(plain)
    row(
        app,
        "courses.assessment_slot",
        assessment_id=quiz,
        question_id=extra,
        is_extra_credit=True,
    )
    attempt = place.start(quiz)
    place.answer(attempt, plain, {"option": right})
    place.answer(attempt, extra, {"option": extra_right})
    place.submit(attempt)
    assert stand(app, attempt)[1:] == (3.0, 100.0, True)


def essay(place: School) -> tuple[UUID, UUID]:
    """An attempt with an answered essay and a right choice, handed in."""
    asked, _ = question(place.connection, question_kind="essay", scoring="manual")
    closed, (right, _) = choice(place.connection)
    attempt = place.start(place.quiz(asked, closed))
    place.answer(attempt, asked, {"text": "It was the best of times."})
    place.answer(attempt, closed, {"option": right})
    return attempt, asked


def test_an_essay_waits_for_a_person(app: Connection, account: UUID) -> None:
    place = school(app)
    attempt, asked = essay(place)
    assert place.submit(attempt) == "submitted"
    waiting = app.execute(
        "SELECT attempt_response_id, response_text FROM courses.attempt_response"
        " WHERE needs_manual_grading"
    ).fetchall()
    assert [text for _, text in waiting] == ["It was the best of times."]
    reached = one(
        app,
        "SELECT courses.grade_response(%s, 1, %s, 'More on the worst.', %s)::float8",
        waiting[0][0],
        account,
        LATER,
    )
    assert reached == 75.0
    assert stand(app, attempt) == ("graded", 3.0, 75.0, True)
    assert asked


def test_an_essay_that_was_left_out_waits_for_nobody(app: Connection) -> None:
    place = school(app)
    asked, _ = question(app, question_kind="essay", scoring="manual")
    assert place.submit(place.start(place.quiz(asked))) == "graded"


def test_what_a_person_graded_stays_when_it_is_scored_anew(app: Connection, account: UUID) -> None:
    place = school(app)
    asked, (_, wrong) = choice(app)
    attempt = place.start(place.quiz(asked))
    place.answer(attempt, asked, {"option": wrong})
    place.submit(attempt)
    response = one(app, "SELECT attempt_response_id FROM courses.attempt_response")
    app.execute("SELECT courses.grade_response(%s, 1.5, %s)", [response, account])
    assert stand(app, attempt) == ("graded", 1.5, 75.0, True)
    app.execute("SELECT courses.grade_attempt(%s)", [attempt])
    assert stand(app, attempt) == ("graded", 1.5, 75.0, True)


def test_an_attempt_that_runs_is_not_graded(app: Connection) -> None:
    place = school(app)
    attempt = place.start(place.quiz(choice(app)[0]))
    with pytest.raises(errors.CheckViolation, match="not submitted"):
        app.execute("SELECT courses.grade_attempt(%s)", [attempt])


def test_a_response_of_a_running_attempt_is_not_graded(app: Connection, account: UUID) -> None:
    place = school(app)
    place.start(place.quiz(choice(app)[0]))
    response = one(app, "SELECT attempt_response_id FROM courses.attempt_response")
    with pytest.raises(errors.CheckViolation, match="no submitted attempt"):
        app.execute("SELECT courses.grade_response(%s, 1, %s)", [response, account])


def test_handing_in_again_changes_nothing(app: Connection) -> None:
    place = school(app)
    attempt = place.start(place.quiz(choice(app)[0]))
    assert place.submit(attempt) == "graded"
    before = one(app, "SELECT submitted_at, graded_at FROM courses.assessment_attempt")
    assert place.submit(attempt, "2026-02-03") == "graded"
    assert one(app, "SELECT submitted_at, graded_at FROM courses.assessment_attempt") == before


GRACE = {"overdue_handling": "grace_period", "grace_minutes": 10}


@pytest.mark.parametrize(
    ("given", "at", "by_clock", "reached", "auto"),
    [
        ({}, "10:30", False, "graded", False),
        ({}, "10:31", False, "graded", True),
        ({}, "10:31", True, "graded", True),
        ({}, "10:29", True, "in_progress", False),
        (GRACE, "10:31", True, "overdue", False),
        (GRACE, "10:40", False, "graded", False),
        (GRACE, "10:41", False, "abandoned", False),
        (GRACE, "10:41", True, "abandoned", False),
        ({"overdue_handling": "abandon"}, "10:30", False, "graded", False),
        ({"overdue_handling": "abandon"}, "10:31", False, "abandoned", False),
    ],
)
def test_what_comes_late_is_handled_as_the_assessment_says(
    app: Connection, given: dict[str, Any], at: str, by_clock: bool, reached: str, auto: bool
) -> None:
    place = school(app)
    attempt = place.start(place.quiz(choice(app)[0], time_limit_minutes=30, **given))
    found = one(
        app,
        "SELECT courses.submit_attempt(%s, %s, %s)",
        attempt,
        f"2026-02-02 {at}+00",
        by_clock,
    )
    assert found == reached
    assert one(app, "SELECT autosubmitted FROM courses.assessment_attempt") == auto
    if auto:
        spent = one(app, "SELECT time_spent_seconds FROM courses.assessment_attempt")
        assert spent == 1800


def test_the_clock_closes_what_is_late(app: Connection) -> None:
    place = school(app)
    late = place.quiz(choice(app)[0], time_limit_minutes=30)
    graced = place.quiz(choice(app)[0], time_limit_minutes=30, **GRACE)
    running = place.quiz(choice(app)[0], time_limit_minutes=60)
    for quiz in (late, graced, running):
        place.start(quiz)

    def close(at: str) -> Any:
        closed = one(app, "SELECT courses.close_overdue_attempts(%s)", f"2026-02-02 {at}+00")
        states: dict[UUID, str] = dict(
            app.execute("SELECT assessment_id, state FROM courses.assessment_attempt").fetchall()
        )
        return closed, states[late], states[graced], states[running]

    assert close("10:35") == (1, "graded", "overdue", "in_progress")
    assert close("10:41") == (1, "graded", "abandoned", "in_progress")
    assert close("10:41") == (0, "graded", "abandoned", "in_progress")


def test_an_attempt_is_worth_its_answers(app: Connection) -> None:
    place = school(app)
    attempt, _ = essay(place)
    place.submit(attempt)
    assert stand(app, attempt)[1:3] == (2.0, 50.0)
    app.execute("UPDATE courses.attempt_response SET points_awarded = 0.5 WHERE points_awarded = 2")
    assert stand(app, attempt)[1:3] == (0.5, 12.5)
    assert app.execute("SELECT * FROM courses.attempt_differences()").fetchall() == []


def test_an_attempt_that_runs_is_worth_nothing_yet(app: Connection) -> None:
    place = school(app)
    attempt = place.start(place.quiz(choice(app)[0]))
    assert stand(app, attempt) == ("in_progress", None, None, None)
    assert app.execute("SELECT * FROM courses.attempt_differences()").fetchall() == []


def test_an_attempt_worth_something_else_is_found(app: Connection) -> None:
    place = school(app)
    attempt, _ = essay(place)
    place.submit(attempt)
    app.execute("UPDATE courses.assessment_attempt SET score_pct = 99")
    found = app.execute(
        "SELECT assessment_attempt_id, said::int, found::int FROM courses.attempt_differences()"
    ).fetchall()
    assert found == [(attempt, 99, 50)]


def test_a_new_grade_may_pass_or_fail(app: Connection) -> None:
    place = school(app)
    asked, (right, _) = choice(app)
    attempt = place.start(place.quiz(asked))
    place.answer(attempt, asked, {"option": right})
    place.submit(attempt)
    assert stand(app, attempt)[3] is True
    app.execute("UPDATE courses.attempt_response SET points_awarded = 1, is_correct = false")
    assert stand(app, attempt)[3] is False


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"response": '{"answer": 1}'}, "is_answer"),
        ({"response": '{"parts": {"option": 1}}'}, "is_answer"),
        ({"response": '{"parts": ["b"]}'}, "is_answer"),
        ({"response": '{"parts": [{"choice": "b"}]}'}, "is_answer"),
        ({"response": json.dumps({"parts": [{"text": "x"}] * 101})}, "is_answer"),
        ({"response": '{"parts": []}'}, "answered_has_time"),
        ({"points_awarded": 1.5}, "points_at_most_maximum"),
        ({"points_awarded": -1.5}, "points_at_most_maximum"),
        ({"needs_manual_grading": True, "points_awarded": 1}, "waiting_has_no_points"),
        ({"is_correct": True}, "correct_is_judged"),
        ({"change_count": -1}, "changes_not_negative"),
        ({"time_spent_seconds": -1}, "time_not_negative"),
        ({"max_points": -1}, "maximum_not_negative"),
        ({"sequence_no": 0}, "sequence_counts_from_1"),
        (
            {"first_answered_at": "2026-05-04 10:00+00", "last_saved_at": "2026-05-04 09:00+00"},
            "saved_after_first",
        ),
    ],
)
def test_what_an_answer_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    place = school(app)
    asked, _ = choice(app)
    quiz = place.quiz(asked)
    slot = one(app, "SELECT assessment_slot_id FROM courses.assessment_slot")
    attempt = imported(
        app, "courses.assessment_attempt", assessment_id=quiz, enrollment_id=place.enrollment
    )
    if truth == "is_answer":
        columns = {"first_answered_at": LATER, "last_saved_at": LATER, **columns}
    with pytest.raises(errors.CheckViolation, match=f"attempt_response_{truth}"):
        imported(
            app,
            "courses.attempt_response",
            assessment_attempt_id=attempt,
            question_id=asked,
            assessment_slot_id=slot,
            **columns,
        )


IN_STATE: dict[str, dict[str, Any]] = {
    "in_progress": {},
    "overdue": {},
    "submitted": {"submitted_at": "2026-02-02 10:20+00"},
    "graded": {
        "submitted_at": "2026-02-02 10:20+00",
        "graded_at": "2026-02-02 10:21+00",
        "score_pct": 50,
        "passed": False,
    },
    "abandoned": {},
    "voided": {"void_reason": "Shared answers"},
}


@pytest.mark.parametrize(
    ("state", "columns", "truth"),
    [
        ("in_progress", {"due_at": LATER}, "due_after_start"),
        ("submitted", {"submitted_at": "2026-02-02 09:00+00"}, "submitted_after_start"),
        ("submitted", {"submitted_at": None}, "submitted_has_time"),
        ("in_progress", {"submitted_at": "2026-02-02 10:20+00"}, "submitted_has_time"),
        ("graded", {"graded_at": "2026-02-02 10:19+00"}, "graded_after_submission"),
        ("graded", {"graded_at": None}, "graded_is_whole"),
        ("graded", {"passed": None}, "graded_is_whole"),
        ("graded", {"score_pct": 101}, "score_pct_bounded"),
        ("graded", {"score": -1}, "score_not_negative"),
        ("submitted", {"passed": True}, "passed_is_judged"),
        ("voided", {"void_reason": " "}, "voided_says_why"),
        ("in_progress", {"attempt_no": 0}, "counts_from_1"),
    ],
)
def test_what_an_attempt_cannot_be_is_refused(
    app: Connection, state: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"assessment_attempt_{truth}"):
        bring(app, state, **columns)


def bring(connection: Connection, state: str, **columns: Any) -> UUID:
    place = school(connection)
    return imported(
        connection,
        "courses.assessment_attempt",
        **{
            "assessment_id": place.quiz(),
            "enrollment_id": place.enrollment,
            "started_at": LATER,
            "state": state,
            **IN_STATE[state],
            **columns,
        },
    )


ATTEMPT: dict[str, set[str]] = {
    "in_progress": {"submitted", "overdue", "abandoned", "voided"},
    "overdue": {"submitted", "abandoned"},
    "submitted": {"graded", "voided"},
    "graded": {"voided"},
    "abandoned": set(),
    "voided": set(),
}


def move(connection: Connection, before: str, after: str) -> None:
    bring(connection, before)
    values = {"state": after, **IN_STATE[after]}
    connection.execute(
        sql.SQL("UPDATE courses.assessment_attempt SET {}").format(
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
        ),
        list(values.values()),
    )


@pytest.mark.parametrize(("before", "after"), [(b, a) for b in ATTEMPT for a in sorted(ATTEMPT[b])])
def test_an_attempt_goes_where_it_may(app: Connection, before: str, after: str) -> None:
    move(app, before, after)


@pytest.mark.parametrize(("before", "after"), refused(ATTEMPT))
def test_an_attempt_goes_nowhere_else(app: Connection, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, before, after)


@pytest.mark.parametrize("state", ["submitted", "graded", "overdue", "abandoned", "voided"])
def test_a_new_attempt_is_in_progress(app: Connection, state: str) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(
            app,
            "courses.assessment_attempt",
            assessment_id=place.quiz(),
            enrollment_id=place.enrollment,
            state=state,
            started_at=LATER,
            **IN_STATE[state],
        )
