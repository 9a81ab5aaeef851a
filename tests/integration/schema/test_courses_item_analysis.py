"""Sessions need consent and keep evidence; statistics tell good questions from broken ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import LATER, School, choice, school


def session(connection: Connection, **given: Any) -> UUID:
    place = school(connection)
    attempt = imported(
        connection,
        "courses.assessment_attempt",
        assessment_id=place.quiz(),
        enrollment_id=place.enrollment,
        started_at=LATER,
    )
    return row(connection, "courses.proctoring_session", assessment_attempt_id=attempt, **given)


HELD: dict[str, Any] = {
    "consent_given": True,
    "started_at": "2026-02-02 10:00+00",
    "ended_at": "2026-02-02 11:00+00",
}


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"started_at": LATER}, "starts_with_consent"),
        ({"identity_verified": True}, "verified_by_document"),
        ({**HELD, "ended_at": "2026-02-02 09:00+00"}, "ended_after_start"),
        ({"ended_at": LATER}, "ended_was_started"),
        ({**HELD, "integrity_score": 101}, "integrity_bounded"),
        ({"verdict": "clear"}, "judged_after_end"),
        ({**HELD, "verdict": "violation"}, "violation_has_reviewer"),
        ({**HELD, "retention_until": "2026-08-02"}, "kept_up_to_180_days"),
        ({"id_document_kind": "library_card"}, "id_document_kind_known"),
    ],
)
def test_what_a_session_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"proctoring_session_{truth}"):
        session(app, **columns)


def test_a_recording_has_an_end(app: Connection) -> None:
    recording = row(app, "system_core.file_object")
    kept = {**HELD, "recording_file_object_id": recording}
    session(app, **kept, retention_until="2026-08-01")
    with pytest.raises(errors.CheckViolation, match="recording_has_an_end"):
        session(app, **kept)


def test_a_person_finds_a_violation(app: Connection, account: UUID) -> None:
    session(app, **HELD, verdict="violation", reviewed_by=account, reviewed_at="2026-02-03")


def test_a_flag_is_reviewed_by_its_decision(app: Connection) -> None:
    row(app, "courses.proctoring_flag", proctoring_session_id=session(app, **HELD))
    flag = "SELECT reviewed FROM courses.proctoring_flag"
    assert app.execute(flag.encode()).fetchone() == (False,)
    app.execute("UPDATE courses.proctoring_flag SET reviewer_decision = 'dismissed'")
    assert app.execute(flag.encode()).fetchone() == (True,)


@pytest.mark.parametrize(
    "change",
    [
        "confidence = 0.1",
        "flag_kind = 'no_face'",
        "offset_seconds = 99",
        "evidence_ref = 'elsewhere'",
        "duration_seconds = 99",
    ],
)
def test_a_flag_stays_as_it_was_seen(app: Connection, change: str) -> None:
    row(app, "courses.proctoring_flag", proctoring_session_id=session(app, **HELD))
    with pytest.raises(errors.RestrictViolation, match="only the decision"):
        app.execute(f"UPDATE courses.proctoring_flag SET {change}".encode())


def test_a_flag_is_not_deleted(app: Connection) -> None:
    made = session(app, **HELD)
    imported(app, "courses.proctoring_flag", proctoring_session_id=made)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="only the decision"):
        app.execute("DELETE FROM courses.proctoring_flag")


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"offset_seconds": -1}, "offset_not_negative"),
        ({"duration_seconds": -1}, "duration_not_negative"),
        ({"confidence": 1.1}, "probability"),
        ({"reviewer_decision": "guilty"}, "decision_known"),
    ],
)
def test_what_a_flag_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    made = session(app, **HELD)
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "courses.proctoring_flag", proctoring_session_id=made, **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"facility_index": 1.1}, "facility_bounded"),
        ({"discrimination_index": -1.1}, "correlations_bounded"),
        ({"point_biserial": 1.1}, "correlations_bounded"),
        ({"attempt_count": -1}, "attempts_not_negative"),
        ({"omit_pct": 101}, "omit_bounded"),
        ({"quality": "good"}, "quality_needs_attempts"),
        ({"window_end": "2026-04-30"}, "window_ends_after_start"),
    ],
)
def test_what_a_statistic_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"question_statistic_{truth}"):
        row(app, "courses.question_statistic", **columns)


def test_a_question_has_one_statistic_of_a_window(app: Connection) -> None:
    asked, _ = choice(app)
    row(app, "courses.question_statistic", question_id=asked)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.question_statistic", question_id=asked)


@pytest.mark.parametrize(
    ("attempts", "facility", "discrimination", "correlation", "quality"),
    [
        (9, 0.5, 0.5, 0.5, None),
        (10, 0.5, 0.5, 0.5, "good"),
        (30, 0.5, -0.2, 0.1, "broken"),
        (30, 0.5, 0.2, -0.2, "broken"),
        (30, 0.96, 0.05, 0.2, "too_easy"),
        (30, 0.1, 0.2, 0.2, "too_hard"),
        (30, 0.5, 0.1, 0.05, "ambiguous"),
        (30, 0.5, 0.3, 0.05, "good"),
        (30, 0.5, None, None, "ambiguous"),
    ],
)
def test_an_item_is_judged_by_its_figures(
    app: Connection,
    attempts: int,
    facility: float,
    discrimination: float | None,
    correlation: float | None,
    quality: str | None,
) -> None:
    found = app.execute(
        "SELECT courses.item_quality(%s, %s::numeric, %s::numeric, %s::numeric)",
        [attempts, facility, discrimination, correlation],
    ).fetchone()
    assert found == (quality,)


def take(place: School, learners: int) -> dict[str, Any]:
    """Learners of rising ability: four questions that the able know, one that the weak do."""
    known = [(share, *choice(place.connection)) for share in (0.2, 0.4, 0.5, 0.6)]
    odd, odd_options = choice(place.connection)
    quiz = place.quiz(*[asked for _, asked, _ in known], odd)
    for rank in range(learners):
        attempt = replace(place, enrollment=place.enroll()).start(quiz)
        for share, asked, options in known:
            right = rank >= learners * share
            place.answer(attempt, asked, {"option": options[0 if right else 1]})
        if rank < learners - 1:
            right = rank < learners * 0.3
            place.answer(attempt, odd, {"option": odd_options[0 if right else 1]})
        place.submit(attempt)
    return {"quiz": quiz, "easy": known[0][1], "half": known[2][1:], "odd": odd}


def analyze(connection: Connection, quiz: UUID, until: str = "2026-02-28") -> Any:
    found = connection.execute(
        "SELECT courses.item_statistics(%s, '2026-02-01', %s)", [quiz, until]
    ).fetchone()
    return found and found[0]


def test_statistics_tell_good_questions_from_broken_ones(app: Connection) -> None:
    made = take(school(app), 10)
    assert analyze(app, made["quiz"]) == 5
    found = {
        asked: figures
        for asked, *figures in app.execute(
            "SELECT question_id, attempt_count, facility_index::float8,"
            " discrimination_index::float8, quality, omit_pct::float8, average_seconds::float8"
            " FROM courses.question_statistic"
        ).fetchall()
    }
    half, (right, other) = made["half"]
    assert found[made["easy"]][:2] == [10, 0.8]
    assert found[half][:4] == [10, 0.5, 1.0, "good"]
    assert found[made["odd"]] == [10, 0.3, -0.6667, "broken", 10.0, 18.0]
    spread = app.execute(
        "SELECT option_distribution FROM courses.question_statistic WHERE question_id = %s",
        [half],
    ).fetchone()
    assert spread == ({str(right): 5, str(other): 5},)


def test_statistics_are_computed_anew(app: Connection) -> None:
    made = take(school(app), 3)
    assert [analyze(app, made["quiz"]), analyze(app, made["quiz"], "2026-03-31")] == [5, 5]
    windows = app.execute(
        "SELECT DISTINCT window_end::text, quality FROM courses.question_statistic"
    ).fetchall()
    assert windows == [("2026-03-31", None)]


def test_what_was_submitted_outside_the_window_is_left_out(app: Connection) -> None:
    made = take(school(app), 2)
    assert analyze(app, made["quiz"], "2026-02-01") == 0


def test_only_the_first_attempt_counts(app: Connection) -> None:
    place = school(app)
    asked, (right, wrong) = choice(app)
    quiz = place.quiz(asked)
    for option in (wrong, right):
        attempt = place.start(quiz)
        place.answer(attempt, asked, {"option": option})
        place.submit(attempt)
    analyze(app, quiz)
    found = app.execute(
        "SELECT attempt_count, facility_index::int FROM courses.question_statistic"
    ).fetchall()
    assert found == [(1, 0)]


def test_a_question_that_suits_one_segment_is_flagged(app: Connection) -> None:
    place = school(app)
    questions = [choice(app) for _ in range(4)]
    quiz = place.quiz(*[asked for asked, _ in questions])
    for number in range(20):
        segment = "student" if number % 2 else "corporate"
        learner = row(app, "courses.learner", segment=segment)
        person = replace(place, enrollment=place.enroll(learner_id=learner))
        attempt = person.start(quiz)
        for turn, (asked, options) in enumerate(questions):
            # The last one only students know; the third only others.
            right = number % 4 < 2 if turn < 2 else (segment == "student") == (turn == 3)
            person.answer(attempt, asked, {"option": options[0 if right else 1]})
        person.submit(attempt)
    analyze(app, quiz)
    flagged: dict[UUID, bool] = dict(
        app.execute(
            "SELECT question_id, differential_flag FROM courses.question_statistic"
        ).fetchall()
    )
    assert [flagged[asked] for asked, _ in questions] == [False, False, True, True]
