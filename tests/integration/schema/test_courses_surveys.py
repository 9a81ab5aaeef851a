"""Answers fit their questions, and models weigh what they know."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.admissions import one
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row


def survey(app: Connection, **given: Any) -> UUID:
    made = row(app, "courses.survey", **given)
    row(
        app,
        "courses.survey_question",
        survey_id=made,
        sort_order=1,
        question_kind="nps",
        scale_min=0,
        scale_max=10,
        is_required=True,
    )
    row(
        app,
        "courses.survey_question",
        survey_id=made,
        sort_order=2,
        question_kind="single_choice",
        options='["yes", "no"]',
    )
    app.execute("UPDATE courses.survey SET status = 'open' WHERE survey_id = %s", [made])
    return made


def listed(answers: dict[int, Any]) -> str:
    return json.dumps([{"question": q, "value": v} for q, v in answers.items()])


def answer(app: Connection, made: UUID, answers: dict[int, Any], **given: Any) -> UUID:
    return row(
        app,
        "courses.survey_response",
        survey_id=made,
        **{
            "answers": listed(answers),
            "is_complete": True,
            "started_at": "2026-05-04 10:00+00",
            "submitted_at": "2026-05-04 10:03+00",
            **given,
        },
    )


def test_a_response_is_counted_and_scored(app: Connection) -> None:
    answer(app, survey(app), {1: 9, 2: "yes"})
    assert app.execute("SELECT nps_score FROM courses.survey_response").fetchone() == (9,)
    assert app.execute("SELECT response_count FROM courses.survey").fetchone() == (1,)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({2: "yes"}, "question 1 is not answered"),
        ({1: 11}, "question 1 is answered by something else"),
        ({1: "9"}, "question 1 is answered by something else"),
        ({1: 9, 2: "maybe"}, "question 2 is answered by something else"),
        ({1: 9, 3: "x"}, "question 3 is not asked"),
    ],
)
def test_answers_fit_their_questions(app: Connection, answers: Any, fault: str) -> None:
    made = survey(app)
    with pytest.raises(errors.CheckViolation, match=fault):
        answer(app, made, answers)


def test_an_anonymous_survey_names_nobody(app: Connection) -> None:
    made = survey(app, is_anonymous=True)
    with pytest.raises(errors.CheckViolation, match="is anonymous"):
        answer(app, made, {1: 9}, learner_id=row(app, "courses.learner"))


def test_few_anonymous_answers_show_nothing(app: Connection) -> None:
    made = survey(app, is_anonymous=True)
    shown = "SELECT count(*) FROM courses.survey_results(%s)"
    for number in range(5):
        assert app.execute(shown, [made]).fetchone() == (0,)
        answer(app, made, {1: 9}, respondent_hash=bytes([number]) * 32)
    assert app.execute(shown, [made]).fetchone() == (1,)


@pytest.mark.parametrize("weights", ["{}", '{"luck": 1}', '{"bias": "much"}'])
def test_a_model_weighs_what_it_knows(app: Connection, weights: str) -> None:
    with pytest.raises(errors.CheckViolation, match="weighs_something"):
        row(
            app,
            "courses.retention_model",
            weights=weights,
            threshold_high=0.6,
            threshold_medium=0.3,
        )


QUESTIONS: dict[str, dict[str, Any]] = {
    "text": {},
    "likert": {"scale_min": 1, "scale_max": 5},
    "slider": {"scale_min": 0, "scale_max": 100},
    "single_choice": {"options": '["yes", "no"]'},
    "multiple_choice": {"options": '["a", "b", "c"]'},
    "matrix": {"options": '["videos", "texts"]', "scale_min": 1, "scale_max": 5},
}


def asks(app: Connection, *questions: dict[str, Any], **given: Any) -> UUID:
    """An open survey with these questions, numbered from 1."""
    made = row(app, "courses.survey", **given)
    for number, question in enumerate(questions, 1):
        known = QUESTIONS.get(question["question_kind"], {})
        row(
            app,
            "courses.survey_question",
            survey_id=made,
            sort_order=number,
            **{**known, **question},
        )
    app.execute("UPDATE courses.survey SET status = 'open' WHERE survey_id = %s", [made])
    return made


def faults(app: Connection, made: UUID, answers: str) -> list[tuple[Any, ...]]:
    return app.execute(
        "SELECT question, fault FROM courses.survey_faults(%s, %s) ORDER BY question, fault",
        [made, answers],
    ).fetchall()


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("text", "well", True),
        ("text", 5, False),
        ("likert", 1, True),
        ("likert", 5, True),
        ("likert", 0, False),
        ("likert", 6, False),
        ("likert", 2.5, False),
        ("likert", "3", False),
        ("slider", 0, True),
        ("slider", 99.5, True),
        ("slider", 100.5, False),
        ("slider", True, False),
        ("single_choice", "yes", True),
        ("single_choice", "maybe", False),
        ("single_choice", ["yes"], False),
        ("multiple_choice", [], True),
        ("multiple_choice", ["a", "c"], True),
        ("multiple_choice", ["a", "d"], False),
        ("multiple_choice", "a", False),
        ("matrix", {"videos": 5, "texts": 1}, True),
        ("matrix", {"videos": 5}, True),
        ("matrix", {"videos": 6}, False),
        ("matrix", {"pictures": 3}, False),
        ("matrix", {"videos": "5"}, False),
        ("matrix", [5, 1], False),
    ],
)
def test_a_value_fits_the_kind_of_its_question(
    app: Connection, kind: str, value: Any, fits: bool
) -> None:
    made = asks(app, {"question_kind": kind})
    found = faults(app, made, listed({1: value}))
    assert found == ([] if fits else [(1, "is answered by something else")])


def test_all_that_is_wrong_is_told(app: Connection) -> None:
    required = {"question_kind": "text", "is_required": True}
    made = asks(app, required, {"question_kind": "likert"}, required)
    answers = [
        {"question": 2, "value": 9},
        {"question": 2, "value": 3},
        {"question": 3, "value": None},
        {"question": 4, "value": "x"},
    ]
    assert faults(app, made, json.dumps(answers)) == [
        (1, "is not answered"),
        (2, "is answered by something else"),
        (2, "is answered twice"),
        (3, "is not answered"),
        (4, "is not asked"),
    ]


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({1: "yes"}, []),
        ({1: "no"}, [(2, "is not answered")]),
        ({1: "no", 2: "because"}, []),
        ({}, []),
    ],
)
def test_a_question_is_required_where_it_is_shown(
    app: Connection, answers: dict[int, Any], fault: list[Any]
) -> None:
    made = asks(
        app,
        {"question_kind": "single_choice"},
        {
            "question_kind": "text",
            "is_required": True,
            "show_if": '{"question": 1, "is": "no"}',
        },
    )
    assert faults(app, made, listed(answers)) == fault


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"question_kind": "single_choice", "options": None}, "choice_has_options"),
        ({"question_kind": "text", "options": '["a", "b"]'}, "choice_has_options"),
        ({"question_kind": "single_choice", "options": '["a"]'}, "options_are_two"),
        ({"question_kind": "likert", "scale_max": None}, "scaled_has_ends"),
        ({"question_kind": "likert", "scale_max": 1}, "scale_ends_above"),
        ({"question_kind": "nps", "scale_min": 1, "scale_max": 10}, "nps_is_zero_to_ten"),
        ({"question_kind": "song"}, "kind_known"),
    ],
)
def test_a_question_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        asks(app, given)


def test_questions_of_a_survey_have_places_of_their_own(app: Connection) -> None:
    made = row(app, "courses.survey")
    row(app, "courses.survey_question", survey_id=made, sort_order=1)
    row(app, "courses.survey_question", sort_order=1)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.survey_question", survey_id=made, sort_order=1)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"closes_at": "2026-05-04 10:00+00"}, "closes_after_opening"),
        ({"response_count": 1}, "answered_by_the_invited"),
        ({"is_anonymous": True, "minimum_group_size": 4}, "groups_of_five"),
        ({"minimum_group_size": 0}, "groups_of_five"),
        ({"survey_kind": "exam"}, "kind_known"),
    ],
)
def test_a_survey_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "courses.survey", **given)


# Taking responses.


@pytest.mark.parametrize("status", ["draft", "closed", "archived"])
def test_only_an_open_survey_takes_answers(app: Connection, status: str) -> None:
    made = imported(app, "courses.survey", status=status, title="Pulse")
    with pytest.raises(errors.CheckViolation, match=f'survey "Pulse" is {status}'):
        answer(app, made, {})


def test_history_brings_answers_of_a_closed_survey(app: Connection) -> None:
    made = imported(app, "courses.survey", status="closed")
    app.execute("RESET ROLE")
    answer(app, made, {})
    assert one(app, "SELECT response_count FROM courses.survey") == 1


@pytest.mark.parametrize(
    ("started", "submitted", "taken"),
    [
        ("2026-05-04 10:00+00", "2026-05-05 10:00+00", True),
        ("2026-05-04 09:59+00", "2026-05-04 10:30+00", False),
        ("2026-05-04 10:00+00", "2026-05-05 10:01+00", False),
    ],
)
def test_a_survey_is_answered_from_its_opening_to_its_close(
    app: Connection, started: str, submitted: str, taken: bool
) -> None:
    made = asks(app, opens_at="2026-05-04 10:00+00", closes_at="2026-05-05 10:00+00")
    if taken:
        answer(app, made, {}, started_at=started, submitted_at=submitted)
        assert one(app, "SELECT response_count FROM courses.survey") == 1
    else:
        with pytest.raises(errors.CheckViolation, match="takes no answers then"):
            answer(app, made, {}, started_at=started, submitted_at=submitted)


def test_who_stops_half_way_is_not_counted_yet(app: Connection) -> None:
    made = survey(app)
    begun = {"is_complete": False, "submitted_at": None}
    answer(app, made, {2: "yes"}, **begun)
    counts = "SELECT response_count FROM courses.survey"
    assert one(app, counts) == 0
    finish = (
        "UPDATE courses.survey_response SET answers = %s, is_complete = true,"
        " submitted_at = started_at + interval '90 seconds'"
    )
    unanswered = pytest.raises(errors.CheckViolation, match="question 1 is not answered")
    with unanswered, app.transaction():
        app.execute(finish, [listed({2: "no"})])
    app.execute(finish, [listed({1: 7, 2: "no"})])
    assert one(app, counts) == 1
    found = app.execute("SELECT nps_score, completion_seconds FROM courses.survey_response")
    assert found.fetchone() == (7, 90)


@pytest.mark.parametrize(
    "change",
    ["answers = '[]'", "nps_score = 10", "submitted_at = submitted_at + interval '1 minute'"],
)
def test_what_was_answered_stays(app: Connection, change: str) -> None:
    answer(app, survey(app), {1: 3})
    with pytest.raises(errors.RestrictViolation, match="handed in is not changed"):
        app.execute(f"UPDATE courses.survey_response SET {change}".encode())


def test_a_name_can_be_taken_off_an_answer(app: Connection) -> None:
    answer(app, survey(app), {1: 3}, learner_id=row(app, "courses.learner"))
    app.execute("UPDATE courses.survey_response SET learner_id = NULL, sentiment_score = 0.5")
    assert one(app, "SELECT response_count FROM courses.survey") == 1


def test_everybody_answers_once(app: Connection) -> None:
    made = survey(app)
    answer(app, made, {1: 3})
    answer(app, survey(app), {1: 3})
    with pytest.raises(errors.UniqueViolation):
        answer(app, made, {1: 9})


def test_a_response_that_is_deleted_is_counted_no_more(app: Connection) -> None:
    made = survey(app)
    for number in range(3):
        answer(app, made, {1: 3}, respondent_hash=bytes([number]) * 32)
    answer(app, survey(app), {1: 3})
    app.execute("DELETE FROM courses.survey_response WHERE respondent_hash = %s", [b"\x01" * 32])
    found = app.execute("SELECT response_count, invited_count FROM courses.survey ORDER BY 1")
    assert found.fetchall() == [(1, 1), (2, 3)]


def test_answers_at_once_are_all_counted(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        made = survey(connection)
    ready = Barrier(3)

    def take(connection: Connection, number: int) -> Any:
        ready.wait(30)
        return answer(connection, made, {1: 9}, respondent_hash=bytes([number]) * 32)

    assert len(set(at_once(target, tenant, 3, take))) == 3
    with psycopg.connect(target.admin) as connection:
        assert one(connection, "SELECT response_count FROM courses.survey") == 3


# What a survey promised.


@pytest.mark.parametrize(
    "command",
    [
        "INSERT INTO courses.survey_question (business_id, survey_id, sort_order, question_kind,"
        " prompt) SELECT business_id, survey_id, 9, 'text', 'And?' FROM courses.survey",
        "UPDATE courses.survey_question SET prompt = 'And?'",
        "DELETE FROM courses.survey_question",
    ],
)
def test_a_survey_that_was_opened_keeps_its_questions(app: Connection, command: str) -> None:
    survey(app)
    with pytest.raises(errors.RestrictViolation, match="keeps its questions"):
        app.execute(command.encode())


@pytest.mark.parametrize("change", ["is_anonymous = false", "minimum_group_size = 5"])
def test_a_survey_stays_as_anonymous_as_it_was(app: Connection, change: str) -> None:
    changed = f"UPDATE courses.survey SET {change}".encode()
    made = row(app, "courses.survey", is_anonymous=True, minimum_group_size=8)
    with app.transaction(force_rollback=True):
        assert app.execute(changed).rowcount == 1
    app.execute("UPDATE courses.survey SET status = 'open', minimum_group_size = 9")
    with pytest.raises(errors.RestrictViolation, match="keeps what it promised"):
        app.execute(changed + b" WHERE survey_id = %s", [made])


@pytest.mark.parametrize("column", ["learner_id", "enrollment_id"])
def test_no_name_is_put_on_an_anonymous_answer_later(app: Connection, column: str) -> None:
    answer(app, survey(app, is_anonymous=True), {1: 9})
    named = row(app, f"courses.{column.removesuffix('_id')}")
    with pytest.raises(errors.CheckViolation, match="is anonymous"):
        app.execute(f"UPDATE courses.survey_response SET {column} = %s".encode(), [named])


# Results.


def test_results_count_and_average_each_question(app: Connection) -> None:
    made = asks(
        app,
        {"question_kind": "nps", "scale_min": 0, "scale_max": 10, "construct": "loyalty"},
        {"question_kind": "likert", "construct": "value"},
        {"question_kind": "text"},
    )
    for number, (nps, likert) in enumerate([(10, 5), (9, 4), (8, None), (7, 2), (6, 1), (0, 1)]):
        given = {1: nps, 3: "well"} | ({} if likert is None else {2: likert})
        answer(app, made, given, respondent_hash=bytes([number]) * 32)
    answer(
        app,
        made,
        {1: 0},
        respondent_hash=b"\x09" * 32,
        is_complete=False,
        submitted_at=None,
    )
    found = app.execute(
        "SELECT question, construct, answers, average::float8, promoters, detractors"
        " FROM courses.survey_results(%s)",
        [made],
    ).fetchall()
    assert found == [
        (1, "loyalty", 6, 6.6667, 2, 2),
        (2, "value", 5, 2.6, 0, 0),
        (3, None, 6, None, 0, 0),
    ]


def test_a_question_that_few_answered_anonymously_shows_nothing(app: Connection) -> None:
    made = survey(app, is_anonymous=True)
    for number in range(5):
        given = {1: 9} | ({2: "yes"} if number else {})
        answer(app, made, given, respondent_hash=bytes([number]) * 32)
    found = app.execute("SELECT question FROM courses.survey_results(%s)", [made]).fetchall()
    assert found == [(1,)]
