"""Statements never change and are voided once; snapshots are taken once a day."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import row
from tests.integration.schema.school import LATER, school


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT30S", 30),
        ("PT1M30.4S", 90),
        ("PT2H", 7200),
        ("P1DT1H", 90000),
        ("P2D", 172800),
        ("PT", None),
        ("P", None),
        ("30s", None),
        ("P1Y", None),
        (None, None),
    ],
)
def test_a_duration_of_iso_8601_is_read(
    app: Connection, text: str | None, seconds: int | None
) -> None:
    assert app.execute("SELECT courses.iso_seconds(%s)", [text]).fetchone() == (seconds,)


def test_a_result_is_read_into_its_columns(app: Connection) -> None:
    result = {
        "score": {"scaled": 0.85, "raw": 17},
        "success": True,
        "response": "b",
        "duration": "PT1M5S",
    }
    row(
        app,
        "courses.learning_statement",
        result=json.dumps(result),
        score_scaled=0.1,
        context='{"language": "en-US", "platform": "player"}',
    )
    found = app.execute(
        "SELECT score_scaled::float8, success, duration_seconds, response, language, platform"
        " FROM courses.v_learning_record"
    ).fetchone()
    assert found == (0.85, True, 65, "b", "en-US", "player")


@pytest.mark.parametrize(
    "change",
    ["UPDATE courses.learning_statement SET verb = 'passed'", "DELETE FROM courses.%s"],
)
@pytest.mark.parametrize("table", ["learning_statement", "learning_session", "progress_snapshot"])
def test_the_record_is_only_added_to(app: Connection, change: str, table: str) -> None:
    if table == "progress_snapshot":
        row(
            app,
            "courses.progress_snapshot",
            enrollment_id=school(app).enrollment,
            snapshot_date="2026-05-04",
        )
    else:
        row(app, f"courses.{table}")
    app.execute("RESET ROLE")
    statement = change % table if "%s" in change else change
    if table != "learning_statement" and "UPDATE" in change:
        statement = f"UPDATE courses.{table} SET created_at = now()"
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute(statement.encode())


def void(connection: Connection, learner: UUID, key: UUID) -> UUID:
    return row(
        connection,
        "courses.learning_statement",
        learner_id=learner,
        verb="voided",
        voids_statement_key=key,
    )


def told(connection: Connection, learner: UUID) -> UUID:
    key = uuid4()
    row(connection, "courses.learning_statement", learner_id=learner, statement_key=key)
    return key


def test_a_voided_statement_is_no_longer_told(app: Connection) -> None:
    learner = row(app, "courses.learner")
    kept, gone = told(app, learner), told(app, learner)
    void(app, learner, gone)
    found = app.execute("SELECT statement_key FROM courses.v_learning_record").fetchall()
    assert found == [(kept,)]


def test_a_statement_is_voided_once(app: Connection) -> None:
    learner = row(app, "courses.learner")
    key = told(app, learner)
    void(app, learner, key)
    with pytest.raises(errors.UniqueViolation, match="voided already"):
        void(app, learner, key)


def test_a_statement_is_voided_once_by_two_at_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        learner = row(connection, "courses.learner")
        key = told(connection, learner)

    def try_it(connection: Connection, _: int) -> bool:
        try:
            void(connection, learner, key)
        except errors.UniqueViolation:
            connection.rollback()
            return False
        return True

    assert sorted(at_once(target, tenant, 2, try_it)) == [False, True]


def test_only_a_statement_of_the_learner_is_voided(app: Connection) -> None:
    learner, other = row(app, "courses.learner"), row(app, "courses.learner")
    key = told(app, learner)
    for who, what in ((other, key), (learner, uuid4())):
        with pytest.raises(errors.ForeignKeyViolation, match="no statement"), app.transaction():
            void(app, who, what)


def test_a_voiding_is_not_voided(app: Connection) -> None:
    learner = row(app, "courses.learner")
    void(app, learner, told(app, learner))
    key = app.execute(
        "SELECT statement_key FROM courses.learning_statement WHERE verb = 'voided'"
    ).fetchone()
    assert key
    with pytest.raises(errors.CheckViolation, match="cannot be voided"):
        void(app, learner, key[0])


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("learning_statement", {"verb": "voided"}, "voids_a_statement"),
        ("learning_statement", {"voids_statement_key": str(uuid4())}, "voids_a_statement"),
        ("learning_statement", {"score_scaled": 1.1}, "score_bounded"),
        (
            "learning_statement",
            {"occurred_at": "2026-05-04 10:01+00", "stored_at": "2026-05-04 10:00+00"},
            "stored_after_it_occurred",
        ),
        ("learning_statement", {"duration_seconds": -1}, "duration_not_negative"),
        ("learning_statement", {"result": '{"points": 3}'}, "result_is_xapi"),
        ("learning_statement", {"context": '{"mood": "good"}'}, "context_is_xapi"),
        ("learning_session", {"ended_at": "2026-05-04 09:00+00"}, "ended_after_start"),
        ("learning_session", {"idle_seconds": 103}, "is_active_or_idle"),
        (
            "learning_session",
            {"active_seconds": 610, "idle_seconds": -10},
            "counts_not_negative",
        ),
        ("learning_session", {"lessons_completed": -1}, "counts_not_negative"),
        ("learning_session", {"timezone_offset_minutes": 841}, "offset_on_earth"),
        ("progress_snapshot", {"progress_pct": 101}, "progress_bounded"),
        ("progress_snapshot", {"grade_pct": 101}, "grade_bounded"),
        (
            "progress_snapshot",
            {"minutes_that_day": 1441, "cumulative_minutes": 2000},
            "minutes_of_a_day",
        ),
        ("progress_snapshot", {"minutes_that_day": 5}, "counts_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"courses.{table}", **columns)


def test_a_session_may_be_off_by_its_rounding(app: Connection) -> None:
    row(app, "courses.learning_session", idle_seconds=102)


def snapshot(connection: Connection, day: str) -> Any:
    found = connection.execute("SELECT courses.take_progress_snapshots(%s)", [day]).fetchone()
    return found and found[0]


def test_a_day_is_written_once(app: Connection) -> None:
    place = school(app)
    first, _ = place.lesson(), place.lesson()
    place.report(first, kind="opened", seconds=600)
    assert [snapshot(app, "2026-02-02"), snapshot(app, "2026-02-02")] == [1, 0]
    assert snapshot(app, "2026-02-05") == 1
    days = app.execute(
        "SELECT snapshot_date::text, progress_pct::int, minutes_that_day, lessons_that_day,"
        " active_flag, days_since_active, cumulative_minutes"
        " FROM courses.progress_snapshot ORDER BY snapshot_date"
    ).fetchall()
    assert days == [
        ("2026-02-02", 50, 10, 1, True, 0, 10),
        ("2026-02-05", 50, 0, 0, False, 3, 10),
    ]


def test_who_has_left_is_not_in_the_snapshot(app: Connection) -> None:
    place = school(app)
    place.lesson()
    place.report(place.lesson(), kind="opened")
    app.execute("UPDATE courses.enrollment SET status = 'withdrawn', withdrawn_at = %s", [LATER])
    assert snapshot(app, "2026-02-02") == 0


def test_a_fall_is_shown(app: Connection) -> None:
    enrollment = school(app).enrollment
    for day, pct in (("2026-02-02", 50), ("2026-02-03", 60), ("2026-02-04", 40)):
        row(
            app,
            "courses.progress_snapshot",
            enrollment_id=enrollment,
            snapshot_date=day,
            progress_pct=pct,
        )
    falls = app.execute(
        "SELECT enrollment_id, snapshot_date::text, last_pct::int, progress_pct::int"
        " FROM courses.v_progress_fall"
    ).fetchall()
    assert falls == [(enrollment, "2026-02-04", 60, 40)]
