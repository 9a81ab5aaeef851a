"""Answers fit their questions, and models weigh what they know."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
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


def answer(app: Connection, made: UUID, answers: dict[int, Any], **given: Any) -> UUID:
    listed = [{"question": q, "value": v} for q, v in answers.items()]
    return row(
        app,
        "courses.survey_response",
        survey_id=made,
        answers=json.dumps(listed),
        is_complete=True,
        started_at="2026-05-04 10:00+00",
        submitted_at="2026-05-04 10:03+00",
        **given,
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


def test_a_rising_band_alerts_once(app: Connection) -> None:
    model = imported(
        app,
        "courses.retention_model",
        weights='{"bias": -1, "days_inactive": 1}',
        threshold_high=0.6,
        threshold_medium=0.3,
        status="active",
    )
    imported(
        app,
        "courses.enrollment",
        course_section_id=row(app, "courses.course_section"),
        status="active",
        enrolled_at="2026-05-01",
    )
    score = "SELECT courses.score_retention(%s, %s)"
    assert app.execute(score, [model, "2026-05-25"]).fetchone() == (1,)
    assert app.execute(score, [model, "2026-05-25"]).fetchone() == (0,)
    assert app.execute("SELECT band FROM courses.retention_score").fetchone() == ("high",)
    assert app.execute("SELECT count(*) FROM courses.early_alert").fetchone() == (1,)
