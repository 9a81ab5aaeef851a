"""Progress never falls back and equals its lessons; films are watched by the second."""

from __future__ import annotations

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
from tests.integration.schema.school import LATER, School, choice, school
from tests.integration.schema.states import refused


def progress(place: School, lesson: UUID, state: str, **given: Any) -> UUID:
    opened = {"first_opened_at": LATER, "last_opened_at": LATER}
    done = {"completed_at": LATER, "completion_source": "rule"} if state == "completed" else {}
    return row(
        place.connection,
        "courses.lesson_progress",
        enrollment_id=place.enrollment,
        lesson_id=lesson,
        state=state,
        **{**opened, **done, **given},
    )


def rolled_up(place: School) -> Any:
    return place.connection.execute(
        "SELECT lessons_done, lessons_total, required_done, minutes_spent, next_lesson_id"
        " FROM courses.course_progress WHERE enrollment_id = %s",
        [place.enrollment],
    ).fetchone()


def enrolled(place: School) -> Any:
    return place.connection.execute(
        "SELECT status, progress_pct::float8 FROM courses.enrollment WHERE enrollment_id = %s",
        [place.enrollment],
    ).fetchone()


def differences(connection: Connection) -> list[UUID]:
    found = connection.execute(
        "SELECT enrollment_id FROM courses.course_progress_differences()"
    ).fetchall()
    return [made for (made,) in found]


def test_the_roll_up_follows_every_lesson(app: Connection) -> None:
    place = school(app)
    first, second, third = (place.lesson() for _ in range(3))
    progress(place, first, "completed", seconds_spent=600)
    assert rolled_up(place) == (1, 3, 1, 10, second)
    made = progress(place, second, "in_progress", seconds_spent=90)
    assert rolled_up(place) == (1, 3, 1, 11, second)
    app.execute(
        "UPDATE courses.lesson_progress SET state = 'exempt' WHERE lesson_progress_id = %s",
        [made],
    )
    assert rolled_up(place) == (2, 3, 2, 11, third)
    assert enrolled(place) == ("active", 66.67)
    app.execute("DELETE FROM courses.lesson_progress WHERE lesson_progress_id = %s", [made])
    assert rolled_up(place) == (1, 3, 1, 10, second)
    assert differences(app) == []


def test_a_course_is_completed_with_its_last_lesson(app: Connection) -> None:
    place = school(app)
    for lesson in [place.lesson() for _ in range(2)]:
        assert enrolled(place)[0] == "active"
        progress(place, lesson, "completed")
    assert enrolled(place) == ("completed", 100.0)
    assert rolled_up(place) == (2, 2, 2, 0, None)


@pytest.mark.parametrize("status", ["audit", "paused"])
def test_only_who_is_active_completes(app: Connection, status: str) -> None:
    place = school(app, status=status)
    progress(place, place.lesson(), "completed")
    assert enrolled(place) == (status, 100.0)


def module(place: School, **given: Any) -> UUID:
    return row(
        place.connection,
        "courses.course_module",
        **{"course_id": place.course, "is_published": True, **given},
    )


@pytest.mark.parametrize(
    ("given", "is_completed"),
    [
        ({}, False),
        ({"is_optional": True}, True),
        ({"requirement": "none"}, True),
        ({"is_published": False}, True),
    ],
)
def test_what_is_not_required_is_not_waited_for(
    app: Connection, given: dict[str, Any], is_completed: bool
) -> None:
    place = school(app)
    needed = place.lesson()
    place.lesson(course_module_id=module(place, **given))
    progress(place, needed, "completed")
    assert (enrolled(place)[0] == "completed") == is_completed


def test_one_item_is_enough_where_one_is_asked_for(app: Connection) -> None:
    place = school(app)
    other = module(place, requirement="one_item")
    chosen = place.lesson(course_module_id=other)
    place.lesson(course_module_id=other)
    progress(place, place.lesson(), "completed")
    assert enrolled(place)[0] == "active"
    progress(place, chosen, "completed")
    assert enrolled(place) == ("completed", 66.67)


@pytest.mark.parametrize(("score", "status"), [(69.9, "active"), (70, "completed")])
def test_a_module_may_ask_for_a_score(app: Connection, score: float, status: str) -> None:
    place = school(app)
    tests = module(place, requirement="minimum_score", minimum_score_pct=70)
    lesson = place.lesson(course_module_id=tests, points_possible=10)
    progress(place, place.lesson(), "completed")
    progress(place, lesson, "completed", best_score_pct=score)
    assert enrolled(place)[0] == status


def test_a_part_of_an_unpublished_chapter_is_not_published(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    hidden = module(place, is_published=False)
    place.lesson(course_module_id=module(place, parent_module_id=hidden))
    progress(place, lesson, "completed")
    assert rolled_up(place)[:2] == (1, 1)


def test_the_grade_weighs_lessons_by_their_points(app: Connection) -> None:
    place = school(app)
    for points, score in ((10, 50), (30, 90), (0, 10)):
        progress(place, place.lesson(points_possible=points), "in_progress", best_score_pct=score)
    grade = app.execute("SELECT current_grade_pct::float8 FROM courses.course_progress").fetchone()
    assert grade == (80.0,)


def test_released_content_counts_at_once(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson()
    place.lesson()
    progress(place, lesson, "completed")
    late = place.lesson(is_published=False)
    assert rolled_up(place)[:2] == (1, 2)
    app.execute("UPDATE courses.lesson SET is_published = true WHERE lesson_id = %s", [late])
    assert rolled_up(place)[:2] == (1, 3)
    assert enrolled(place) == ("active", 33.33)
    app.execute("UPDATE courses.course_module SET is_published = false")
    assert rolled_up(place)[:2] == (0, 0)
    app.execute("UPDATE courses.course_module SET is_published = true")
    app.execute("DELETE FROM courses.lesson WHERE lesson_id = %s", [late])
    assert rolled_up(place)[:2] == (1, 2)
    assert differences(app) == []


def test_a_roll_up_that_is_not_its_lessons_is_found(app: Connection) -> None:
    place = school(app)
    place.lesson()
    progress(place, place.lesson(), "completed")
    assert differences(app) == []
    for change in (
        "required_done = 0",
        "minutes_spent = 99",
        "current_grade_pct = 1",
        "last_activity_at = '2020-01-01'",
        "lessons_total = 9",
    ):
        app.execute("SAVEPOINT before")
        app.execute(f"UPDATE courses.course_progress SET {change}".encode())
        assert differences(app) == [place.enrollment]
        app.execute("ROLLBACK TO SAVEPOINT before")


def test_progress_without_a_roll_up_is_found(app: Connection) -> None:
    place = school(app)
    imported(
        app,
        "courses.lesson_progress",
        enrollment_id=place.enrollment,
        lesson_id=place.lesson(),
        state="in_progress",
        first_opened_at=LATER,
        last_opened_at=LATER,
    )
    assert differences(app) == [place.enrollment]
    app.execute("SELECT courses.recompute_course_progress(%s, %s)", [[place.enrollment], LATER])
    assert differences(app) == []


def test_lessons_done_at_once_are_all_counted(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        place = school(connection)
        lessons = [place.lesson() for _ in range(4)]
    ready = Barrier(4)

    def finish(connection: Connection, number: int) -> None:
        ready.wait(30)
        connection.execute(
            "SELECT courses.record_lesson_event(%s, %s, %s, %s)",
            [place.enrollment, lessons[number], '{"kind": "opened"}', LATER],
        )

    at_once(target, tenant, 4, finish)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        found = connection.execute(
            "SELECT p.lessons_done, e.status FROM courses.course_progress AS p"
            " JOIN courses.enrollment AS e USING (business_id, enrollment_id)"
        ).fetchone()
        assert found == (4, "completed")
        assert differences(connection) == []


@pytest.mark.parametrize(
    ("moment", "done", "pace"),
    [
        ("2026-01-10", 1, "ahead"),
        ("2026-02-05", 1, "behind"),
        ("2026-02-03", 2, "on_track"),
        ("2026-02-10", 3, "ahead"),
        ("2026-02-25", 3, "stalled"),
        ("2026-06-29", 4, "on_track"),
    ],
)
def test_the_pace_is_against_the_dates(app: Connection, moment: str, done: int, pace: str) -> None:
    place = school(app)
    app.execute("UPDATE courses.enrollment SET due_on = '2026-03-05'")
    for number in range(4):
        lesson = place.lesson()
        if number < done:
            progress(place, lesson, "completed")
    app.execute("SELECT courses.recompute_course_progress(%s, %s)", [[place.enrollment], moment])
    found = app.execute("SELECT pace, (days_behind > 0) FROM courses.course_progress").fetchone()
    assert found
    assert found[0] == pace
    if pace == "behind":
        assert found[1]


def test_the_forecast_is_at_the_rate_so_far(app: Connection) -> None:
    place = school(app)
    for _ in range(3):
        place.lesson()
    progress(place, place.lesson(), "completed")
    app.execute(
        "SELECT courses.recompute_course_progress(%s, '2026-01-15 12:00+00')",
        [[place.enrollment]],
    )
    forecast = app.execute(
        "SELECT predicted_completion_on::text FROM courses.course_progress"
    ).fetchone()
    assert forecast == ("2026-02-14",)


@pytest.mark.parametrize(
    "change",
    [
        "seconds_spent = 1",
        "open_count = 0",
        "scroll_pct = 1",
        "best_score_pct = 1",
        "best_score_pct = NULL",
        "completed_at = completed_at + interval '1 day'",
        "first_opened_at = '2026-02-02 10:00:01+00', completed_at = '2026-02-03'",
        "last_opened_at = '2026-02-02 10:00+00'",
    ],
)
def test_what_was_done_of_a_lesson_does_not_fall_back(app: Connection, change: str) -> None:
    place = school(app)
    progress(
        place,
        place.lesson(),
        "completed",
        last_opened_at="2026-02-02 11:00+00",
        seconds_spent=60,
        open_count=2,
        scroll_pct=50,
        best_score_pct=80,
    )
    app.execute("UPDATE courses.lesson_progress SET seconds_spent = 61, best_score_pct = 81")
    with pytest.raises(errors.CheckViolation, match="does not fall back"):
        app.execute(f"UPDATE courses.lesson_progress SET {change}".encode())


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"state": "completed", "completed_at": None}, "completed_has_time"),
        ({"state": "in_progress", "completed_at": LATER}, "completed_has_time"),
        ({"state": "completed", "completion_source": None}, "completed_has_source"),
        ({"state": "completed", "completed_at": "2026-02-01"}, "completed_after_opening"),
        (
            {"state": "in_progress", "first_opened_at": None, "last_opened_at": None},
            "started_was_opened",
        ),
        ({"state": "in_progress", "last_opened_at": "2026-02-01"}, "opened_in_order"),
        ({"state": "in_progress", "seconds_spent": -1}, "counts_not_negative"),
        ({"state": "in_progress", "scroll_pct": 101}, "scroll_bounded"),
        ({"state": "in_progress", "best_score_pct": 101}, "best_score_bounded"),
    ],
)
def test_what_progress_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match=f"lesson_progress_{truth}"):
        progress(place, place.lesson(), **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"lessons_done": 1}, "done_at_most_all"),
        ({"lessons_total": 1, "lessons_done": 1, "required_done": 2}, "done_at_most_all"),
        ({"lessons_total": 1}, "next_is_left"),
        ({"minutes_spent": -1}, "times_not_negative"),
        ({"pace": "behind"}, "behind_by_days"),
        ({"current_grade_pct": 101}, "grade_bounded"),
        ({"predicted_grade_pct": 101}, "predicted_grade_bounded"),
    ],
)
def test_what_a_roll_up_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    enrollment = school(app).enrollment
    with pytest.raises(errors.CheckViolation, match=f"course_progress_{truth}"):
        row(app, "courses.course_progress", enrollment_id=enrollment, **columns)


@pytest.mark.parametrize(
    ("ranges", "new", "merged", "seconds"),
    [
        ([], (0, 15), [[0, 15]], 15),
        ([[0, 15]], (15, 30), [[0, 30]], 30),
        ([[0, 15]], (10, 30), [[0, 30]], 30),
        ([[0, 15]], (20, 30), [[0, 15], [20, 30]], 25),
        ([[0, 15], [20, 30]], (10, 25), [[0, 30]], 30),
        ([[20, 30]], (0, 5), [[0, 5], [20, 30]], 15),
        ([[0, 100]], (40, 50), [[0, 100]], 100),
        ([[0, 15]], (7, 7), [[0, 15]], 15),
        ([[40, 50], [0, 10]], (20, 30), [[0, 10], [20, 30], [40, 50]], 30),
    ],
)
def test_watched_ranges_are_merged(
    app: Connection,
    ranges: list[list[int]],
    new: tuple[int, int],
    merged: list[list[int]],
    seconds: int,
) -> None:
    found = app.execute(
        "SELECT r, courses.watched_seconds(r) FROM courses.merge_watched_ranges(%s, %s, %s) AS r",
        [json.dumps(ranges), *new],
    ).fetchone()
    assert found == (merged, seconds)


@pytest.mark.parametrize(
    ("ranges", "fits"),
    [
        ([], True),
        ([[0, 600]], True),
        ([[0, 10], [11, 20]], True),
        ([[0, 601]], False),
        ([[-1, 5]], False),
        ([[5, 5]], False),
        ([[9, 5]], False),
        ([[0, 10], [10, 20]], False),
        ([[0, 10], [5, 20]], False),
        ([[20, 30], [0, 10]], False),
        ([[0, 10, 20]], False),
        ([[0]], False),
        ([5], False),
        (["a"], False),
    ],
)
def test_ranges_are_sorted_and_within_the_film(
    app: Connection, ranges: list[Any], fits: bool
) -> None:
    place = school(app)
    given = {"enrollment_id": place.enrollment, "watched_ranges": json.dumps(ranges)}
    if fits:
        row(app, "courses.video_progress", **given)
        return
    with pytest.raises(errors.CheckViolation, match="ranges_within"):
        row(app, "courses.video_progress", **given)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"position_seconds": 601}, "position_within"),
        ({"position_seconds": -1}, "position_within"),
        ({"average_speed": 0.24}, "speed_bounded"),
        ({"average_speed": 4.01}, "speed_bounded"),
        ({"total_play_seconds": -1}, "counts_not_negative"),
        ({"rewind_count": -1}, "counts_not_negative"),
    ],
)
def test_what_watching_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    enrollment = school(app).enrollment
    with pytest.raises(errors.CheckViolation, match=f"video_progress_{truth}"):
        row(app, "courses.video_progress", enrollment_id=enrollment, **columns)


def film(place: School, **lesson: Any) -> tuple[UUID, UUID]:
    """A film of ten minutes on a lesson that is done when 80 percent are watched."""
    page = place.lesson(
        **{
            "lesson_kind": "video",
            "completion_rule": "minimum_watch",
            "minimum_watch_pct": 80,
            **lesson,
        }
    )
    item = row(
        place.connection,
        "courses.content_item",
        lesson_id=page,
        content_kind="video",
        file_object_id=row(place.connection, "system_core.file_object"),
        duration_seconds=600,
    )
    return page, item


def beat(place: School, item: UUID, start: int, end: int, speed: float = 1) -> Any:
    return place.connection.execute(
        "SELECT watched_pct::float8, position_seconds"
        " FROM courses.record_heartbeat(%s, %s, %s, %s, %s, NULL, %s)",
        [place.enrollment, item, start, end, speed, LATER],
    ).fetchone()


def test_a_film_is_watched_by_the_second(app: Connection) -> None:
    place = school(app)
    _, item = film(place)
    assert beat(place, item, 0, 60) == (10.0, 60)
    assert beat(place, item, 60, 120, 2) == (20.0, 120)
    assert beat(place, item, 0, 60) == (20.0, 60)
    found = app.execute(
        "SELECT watched_ranges, unique_seconds, total_play_seconds, rewind_count,"
        " average_speed::float8 FROM courses.video_progress"
    ).fetchone()
    assert found == ([[0, 120]], 120, 180, 1, 1.33)
    told = app.execute(
        "SELECT count(*), sum(duration_seconds) FROM courses.learning_statement"
        " WHERE verb = 'progressed' AND object_id = %s",
        [item],
    ).fetchone()
    assert told == (3, 180)


def test_to_skip_to_the_end_is_not_to_watch(app: Connection) -> None:
    place = school(app)
    page, item = film(place)
    beat(place, item, 590, 600)
    state = "SELECT state FROM courses.lesson_progress WHERE lesson_id = %s"
    assert app.execute(state.encode(), [page]).fetchone() is None
    beat(place, item, 0, 469)
    assert app.execute(state.encode(), [page]).fetchone() is None
    beat(place, item, 469, 470)
    assert app.execute(state.encode(), [page]).fetchone() == ("completed",)


def test_a_film_that_is_seen_is_completed_once(app: Connection) -> None:
    place = school(app)
    _, item = film(place)
    beat(place, item, 0, 569)
    done = "SELECT completed_at IS NOT NULL FROM courses.video_progress"
    assert app.execute(done.encode()).fetchone() == (False,)
    beat(place, item, 569, 640)
    assert app.execute(done.encode()).fetchone() == (True,)
    assert beat(place, item, 0, 10) == (100.0, 10)


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (9, 5), (0, 3601)])
def test_what_is_no_stretch_is_refused(app: Connection, start: int, end: int) -> None:
    place = school(app)
    _, item = film(place)
    with pytest.raises(errors.InvalidParameterValue, match="nothing to watch"):
        beat(place, item, start, end)


def test_a_page_is_not_watched(app: Connection) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="nothing to watch"):
        beat(school(app), row(app, "courses.content_item"), 0, 5)


def test_two_devices_add_up(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        place = school(connection)
        _, item = film(place)
    ready = Barrier(2)

    def watch(connection: Connection, device: int) -> None:
        ready.wait(30)
        connection.execute(
            "SELECT courses.record_heartbeat(%s, %s, %s, %s)",
            [place.enrollment, item, device * 300, device * 300 + 60],
        )

    at_once(target, tenant, 2, watch)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        found = connection.execute(
            "SELECT watched_ranges, total_play_seconds FROM courses.video_progress"
        ).fetchone()
        assert found == ([[0, 60], [300, 360]], 120)


def test_the_retention_curve_says_where_people_leave(app: Connection) -> None:
    place = school(app)
    _, item = film(place)
    for ranges in ([[0, 600]], [[0, 100], [300, 310]]):
        row(
            app,
            "courses.video_progress",
            enrollment_id=place.enroll(),
            content_item_id=item,
            watched_ranges=json.dumps(ranges),
        )
    curve = app.execute("SELECT * FROM courses.retention_curve(%s, 100)", [item]).fetchall()
    assert curve == [(0, 2), (100, 1), (200, 1), (300, 2), (400, 1), (500, 1)]


EVIDENCE = [
    {"source": "assessment", "pct": 40, "at": "2026-01-10"},
    {"source": "assessment", "pct": 90, "at": "2026-01-20"},
    {"source": "assessment", "pct": 80, "at": "2026-01-30"},
]


@pytest.mark.parametrize(
    ("calculation", "given", "score"),
    [
        ("highest", {}, 90),
        ("latest", {}, 80),
        ("average", {}, 70),
        ("decaying_average", {"decay_pct": 60}, 74),
        ("n_times", {"n_required": 2}, 80),
        ("n_times", {"n_required": 4}, 0),
    ],
)
@pytest.mark.parametrize("threshold", [75, 85])
def test_mastery_follows_from_the_evidence(
    app: Connection, calculation: str, given: dict[str, Any], score: float, threshold: int
) -> None:
    outcome = row(
        app,
        "courses.learning_outcome",
        **{
            "calculation": calculation,
            "mastery_threshold_pct": threshold,
            **given,
        },
    )
    row(
        app,
        "courses.outcome_mastery",
        learning_outcome_id=outcome,
        evidence=json.dumps(EVIDENCE),
    )
    found = app.execute(
        "SELECT score_pct::float8, is_mastered, mastered_at IS NOT NULL, evidence_count,"
        " last_evidence_at::date::text, confidence::float8 FROM courses.outcome_mastery"
    ).fetchone()
    is_mastered = score >= threshold
    assert found == (score, is_mastered, is_mastered, 3, "2026-01-30", 0.75)


@pytest.mark.parametrize(
    ("pct", "level"),
    [(34, "beginning"), (35, "developing"), (70, "proficient"), (85, "advanced")],
)
def test_a_level_follows_from_the_threshold(app: Connection, pct: int, level: str) -> None:
    outcome = row(app, "courses.learning_outcome", calculation="highest", mastery_threshold_pct=70)
    evidence = [{"source": "test", "pct": pct, "at": "2026-01-10"}]
    row(
        app,
        "courses.outcome_mastery",
        learning_outcome_id=outcome,
        evidence=json.dumps(evidence),
    )
    assert app.execute("SELECT level FROM courses.outcome_mastery").fetchone() == (level,)


def test_nothing_is_known_without_evidence(app: Connection) -> None:
    row(app, "courses.outcome_mastery", score_pct=100, is_mastered=True)
    found = app.execute(
        "SELECT level, score_pct, is_mastered FROM courses.outcome_mastery"
    ).fetchone()
    assert found == ("no_evidence", None, False)


def test_a_new_threshold_holds_for_what_is_known(app: Connection) -> None:
    outcome = row(app, "courses.learning_outcome", calculation="highest", mastery_threshold_pct=95)
    row(
        app,
        "courses.outcome_mastery",
        learning_outcome_id=outcome,
        evidence=json.dumps(EVIDENCE),
    )
    mastered = "SELECT is_mastered FROM courses.outcome_mastery"
    assert app.execute(mastered.encode()).fetchone() == (False,)
    app.execute("UPDATE courses.learning_outcome SET mastery_threshold_pct = 90")
    assert app.execute(mastered.encode()).fetchone() == (True,)


def test_evidence_is_scored_and_dated(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="evidence_is_scored"):
        row(app, "courses.outcome_mastery", evidence='[{"source": "test", "pct": 90}]')


def test_a_learner_has_one_mastery_of_an_outcome(app: Connection) -> None:
    given = {
        "learner_id": row(app, "courses.learner"),
        "learning_outcome_id": row(app, "courses.learning_outcome"),
    }
    row(app, "courses.outcome_mastery", **given)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.outcome_mastery", **given)


def test_attainment_is_counted_by_outcome_and_term(app: Connection) -> None:
    outcome = row(app, "courses.learning_outcome", calculation="highest", mastery_threshold_pct=70)
    section = school(app).section
    for pct in (20, 60, 75, 90):
        evidence = [{"source": "test", "pct": pct, "at": "2026-01-10"}]
        row(
            app,
            "courses.outcome_mastery",
            learning_outcome_id=outcome,
            course_section_id=section,
            evidence=json.dumps(evidence),
        )
    app.execute("RESET ROLE")
    app.execute("REFRESH MATERIALIZED VIEW courses.mv_outcome_attainment")
    app.execute("SET LOCAL ROLE app_user")
    found = app.execute(
        "SELECT term, learners, beginning, developing, proficient, advanced,"
        " mastered_pct::int FROM courses.v_outcome_attainment"
    ).fetchall()
    assert found == [("2026-spring", 4, 1, 1, 1, 1, 50)]


def test_a_graded_attempt_is_evidence_once(app: Connection) -> None:
    place = school(app)
    outcome = row(app, "courses.learning_outcome", calculation="latest", mastery_threshold_pct=70)
    asked, (right, _) = choice(app, learning_outcome_id=outcome)
    other, _ = choice(app)
    attempt = place.start(place.quiz(asked, other))
    place.answer(attempt, asked, {"option": right})
    place.submit(attempt)
    known = "SELECT score_pct::float8, evidence_count FROM courses.outcome_mastery"
    assert app.execute(known.encode()).fetchall() == [(100.0, 1)]
    app.execute("UPDATE courses.attempt_response SET points_awarded = 1 WHERE points_awarded = 2")
    assert app.execute(known.encode()).fetchall() == [(50.0, 1)]
    second = place.start(place.quiz(asked))
    place.submit(second, "2026-02-05")
    assert app.execute(known.encode()).fetchall() == [(0.0, 2)]


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"target_value": 0}, "target_positive"),
        ({"current_value": -1}, "current_not_negative"),
        ({"goal_kind": "score_at_least", "target_value": 101}, "score_bounded"),
        ({"due_on": "2026-05-04"}, "due_after_start"),
        ({"goal_kind": "finish_by", "due_on": "2026-06-01"}, "finish_by_has_date"),
        ({"goal_kind": "earn_credential"}, "credential_is_named"),
        ({"reached_at": LATER}, "reached_has_time"),
        ({"reminder_weekday": 0}, "weekday_iso"),
        ({"reminder_weekday": 8}, "weekday_iso"),
    ],
)
def test_what_a_goal_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"learning_goal_{truth}"):
        row(app, "courses.learning_goal", **columns)


def test_only_what_was_due_is_missed(app: Connection) -> None:
    row(app, "courses.learning_goal")
    with pytest.raises(errors.CheckViolation, match="missed_was_due"):
        app.execute("UPDATE courses.learning_goal SET status = 'missed'")


LESSON = {
    "not_started": {"in_progress", "completed", "failed", "exempt"},
    "in_progress": {"completed", "failed", "exempt"},
    "failed": {"completed", "exempt"},
    "exempt": {"in_progress", "completed"},
    "completed": set[str](),
}
GOAL = {
    "active": {"reached", "missed", "abandoned"},
    "missed": {"reached"},
    "reached": set[str](),
    "abandoned": {"active"},
}


def move_lesson(connection: Connection, before: str, after: str) -> None:
    place = school(connection)
    progress(place, place.lesson(), before)
    done = after == "completed"
    connection.execute(
        "UPDATE courses.lesson_progress SET state = %s, completed_at = %s, completion_source = %s",
        [after, LATER if done else None, "rule" if done else None],
    )


def move_goal(connection: Connection, before: str, after: str) -> None:
    reached = {"reached_at": LATER} if before == "reached" else {}
    imported(connection, "courses.learning_goal", status=before, due_on="2026-09-01", **reached)
    connection.execute(
        sql.SQL("UPDATE courses.learning_goal SET status = {}, reached_at = {}").format(
            sql.Literal(after), sql.Literal(LATER if after == "reached" else None)
        )
    )


@pytest.mark.parametrize(("before", "after"), [(b, a) for b in LESSON for a in sorted(LESSON[b])])
def test_a_lesson_goes_where_it_may(app: Connection, before: str, after: str) -> None:
    move_lesson(app, before, after)


@pytest.mark.parametrize(("before", "after"), refused(LESSON))
def test_a_lesson_goes_nowhere_else(app: Connection, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match=r"cannot become|fall back"):
        move_lesson(app, before, after)


@pytest.mark.parametrize(("before", "after"), [(b, a) for b in GOAL for a in sorted(GOAL[b])])
def test_a_goal_goes_where_it_may(app: Connection, before: str, after: str) -> None:
    move_goal(app, before, after)


@pytest.mark.parametrize(("before", "after"), refused(GOAL))
def test_a_goal_goes_nowhere_else(app: Connection, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move_goal(app, before, after)
