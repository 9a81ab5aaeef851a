"""Tasks are handed in by their rules, and judged by rubrics that make the points."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import School, question, school
from tests.integration.schema.states import refused

DUE = "2026-03-02 12:00+00"


def one(connection: Connection, statement: str, *values: Any) -> Any:
    found = connection.execute(statement.encode(), list(values)).fetchone()
    return found and (found[0] if len(found) == 1 else found)


def task(place: School, **given: Any) -> UUID:
    given = {"course_id": place.course, "due_at": DUE, "late_penalty_pct_per_day": 10, **given}
    return row(place.connection, "courses.assignment", **given)


def draft(place: School, assignment: UUID, **given: Any) -> UUID:
    given = {"assignment_id": assignment, "enrollment_id": place.enrollment, **given}
    return row(place.connection, "courses.assignment_submission", **given)


def hand_in(connection: Connection, submission: UUID, at: str) -> Any:
    return one(connection, "SELECT courses.hand_in(%s, %s)", submission, at)


def stand(connection: Connection, submission: UUID) -> Any:
    return one(
        connection,
        "SELECT state, days_late, penalty_pct::float8, raw_points::float8, final_points::float8"
        " FROM courses.assignment_submission WHERE assignment_submission_id = %s",
        submission,
    )


def move(connection: Connection, submission: UUID, state: str) -> None:
    connection.execute(
        "UPDATE courses.assignment_submission SET state = %s WHERE assignment_submission_id = %s",
        [state, submission],
    )


# Grading schemes.


def are_bands(connection: Connection, *bands: tuple[Any, Any, Any]) -> Any:
    document = [{"letter": x, "from": low, "to": high} for x, low, high in bands]
    return one(connection, "SELECT courses.are_bands(%s)", json.dumps(document))


def test_bands_cover_all(app: Connection) -> None:
    assert are_bands(app, ("A", 60, 100), ("F", 0, 60))


@pytest.mark.parametrize(
    "bands",
    [
        (),
        (("F", 0, 59), ("A", 60, 100)),
        (("F", 0, 61), ("A", 60, 100)),
        (("F", 1, 60), ("A", 60, 100)),
        (("F", 0, 60), ("A", 60, 99)),
        (("F", 0, 60), ("F", 60, 100)),
        (("F", 0, 60), ("", 60, 100)),
        (("F", 0, "x"), ("A", 60, 100)),
        (("A", 0, 100), ("B", 0, 100)),
    ],
    ids=["none", "gap", "overlap", "from-1", "to-99", "twice", "unnamed", "word", "same"],
)
def test_bands_with_a_gap_are_none(app: Connection, bands: Any) -> None:
    assert are_bands(app, *bands) is False


def test_a_scheme_has_bands(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="bands_cover_all"):
        row(app, "courses.grading_scheme", bands='[{"letter": "A", "from": 50, "to": 100}]')


@pytest.mark.parametrize(
    ("pct", "decimals", "letter"),
    [(0, 2, "F"), (59.99, 2, "F"), (60, 2, "C"), (89.5, 0, "A"), (89.5, 2, "B"), (120, 2, "A")],
)
def test_a_percentage_has_a_letter(app: Connection, pct: float, decimals: int, letter: str) -> None:
    row(app, "courses.grading_scheme")
    found = one(
        app,
        "SELECT b.letter FROM courses.grading_scheme AS g"
        " CROSS JOIN courses.band_of(g.bands, %s::numeric, %s) AS b",
        pct,
        decimals,
    )
    assert found == letter


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"scheme_kind": "pass_fail"}, "pass_fail_has_two_bands"),
        ({"is_default": True, "retired_on": "2030-01-01"}, "retired_is_not_default"),
        ({"pass_mark_pct": 101}, "pass_mark_is_a_share"),
        ({"rounds_to": 5}, "rounds_to_decimals"),
        (
            {
                "scheme_kind": "gpa",
                "bands": '[{"letter": "A", "from": 0, "to": 100}]',
            },
            "gpa_has_points",
        ),
    ],
)
def test_a_scheme_is_sound(app: Connection, given: Any, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        row(app, "courses.grading_scheme", **given)


def test_a_business_has_one_default(app: Connection) -> None:
    row(app, "courses.grading_scheme", is_default=True)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.grading_scheme", is_default=True)


# Categories.


def categories(connection: Connection, *weights: Any, **given: Any) -> list[UUID]:
    if "course_id" not in given:
        given["course_id"] = row(connection, "courses.course")
    return [row(connection, "courses.grade_category", weight_pct=w, **given) for w in weights]


def settle(connection: Connection) -> None:
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    connection.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.mark.parametrize("weights", [(40, 60), (None, None), (100,)])
def test_weights_make_up_100(app: Connection, weights: Any) -> None:
    categories(app, *weights)
    settle(app)


@pytest.mark.parametrize("weights", [(40, 50), (60, 60), (100, None)])
def test_other_weights_do_not(app: Connection, weights: Any) -> None:
    categories(app, *weights)
    with pytest.raises(errors.CheckViolation, match="not 100"):
        settle(app)


def test_weights_change_together(app: Connection) -> None:
    first, second = categories(app, 40, 60)
    for category, weight in ((first, 30), (second, 70)):
        app.execute(
            "UPDATE courses.grade_category SET weight_pct = %s WHERE grade_category_id = %s",
            [weight, category],
        )
    settle(app)
    app.execute("DELETE FROM courses.grade_category WHERE grade_category_id = %s", [first])
    with pytest.raises(errors.CheckViolation, match="make up 70 %"):
        settle(app)


def test_parts_of_a_weighted_mean_have_weights(app: Connection) -> None:
    course = row(app, "courses.course")
    (above,) = categories(app, 100, course_id=course, aggregation="weighted_mean")
    categories(app, 50, 50, course_id=course, parent_category_id=above)
    settle(app)
    categories(app, None, course_id=course, parent_category_id=above)
    with pytest.raises(errors.CheckViolation, match="weights in category"):
        settle(app)


def test_categories_are_two_deep(app: Connection) -> None:
    course = row(app, "courses.course")
    (top,) = categories(app, None, course_id=course)
    (part,) = categories(app, None, course_id=course, parent_category_id=top)
    (other,) = categories(app, None, course_id=course)
    with pytest.raises(errors.CheckViolation, match="three deep"), app.transaction():
        categories(app, None, course_id=course, parent_category_id=part)
    with pytest.raises(errors.CheckViolation, match="three deep"):
        app.execute(
            "UPDATE courses.grade_category SET parent_category_id = %s"
            " WHERE grade_category_id = %s",
            [other, top],
        )


def test_a_category_is_in_one_of_its_course(app: Connection) -> None:
    (elsewhere,) = categories(app, None)
    with pytest.raises(errors.CheckViolation, match="of another course"):
        categories(app, None, parent_category_id=elsewhere)


def test_a_category_keeps_or_drops(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="keeps_or_drops"):
        categories(app, None, keep_best=2, drop_lowest=1)


# Rubrics.


def rubric(connection: Connection, *points: float, **given: Any) -> tuple[UUID, list[UUID]]:
    made = row(connection, "courses.rubric", **given)
    criteria = [
        row(connection, "courses.rubric_criterion", rubric_id=made, max_points=p) for p in points
    ]
    return made, criteria


def total(connection: Connection, made: UUID) -> Any:
    return one(
        connection, "SELECT total_points::float8 FROM courses.rubric WHERE rubric_id = %s", made
    )


def test_a_rubric_is_worth_its_criteria(app: Connection) -> None:
    made, (first, _) = rubric(app, 10, 5)
    row(app, "courses.rubric_criterion", rubric_id=made, max_points=9, ignore_for_scoring=True)
    assert total(app, made) == 15
    app.execute(
        "UPDATE courses.rubric_criterion SET max_points = 12 WHERE rubric_criterion_id = %s",
        [first],
    )
    assert total(app, made) == 17
    app.execute("UPDATE courses.rubric SET total_points = 99 WHERE rubric_id = %s", [made])
    assert total(app, made) == 17
    app.execute("DELETE FROM courses.rubric_criterion WHERE rubric_criterion_id = %s", [first])
    assert total(app, made) == 5


def test_two_add_criteria_at_once(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as admin:
        tenant = add_tenant(admin, "rubric-hands")
        become_app(admin, tenant)
        made = row(admin, "courses.rubric")
        admin.commit()

    def add(connection: Connection, number: int) -> None:
        row(connection, "courses.rubric_criterion", rubric_id=made, sort_order=number + 1)

    at_once(target, tenant, 4, add)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert total(connection, made) == 40


def test_a_level_is_within_its_criterion(app: Connection) -> None:
    _, (criterion,) = rubric(app, 10)
    row(app, "courses.rubric_rating", rubric_criterion_id=criterion, points=10)
    with pytest.raises(errors.CheckViolation, match="at most 10"), app.transaction():
        row(app, "courses.rubric_rating", rubric_criterion_id=criterion, points=11)
    with pytest.raises(errors.CheckViolation, match="range_up_to_points"), app.transaction():
        row(app, "courses.rubric_rating", rubric_criterion_id=criterion, range_minimum=6)
    with pytest.raises(errors.CheckViolation, match="worth more than 9"):
        app.execute("UPDATE courses.rubric_criterion SET max_points = 9")


def test_a_criterion_stays_in_its_rubric(app: Connection) -> None:
    _, (criterion,) = rubric(app, 10)
    other, _ = rubric(app)
    with pytest.raises(errors.CheckViolation, match="another rubric"):
        app.execute(
            "UPDATE courses.rubric_criterion SET rubric_id = %s WHERE rubric_criterion_id = %s",
            [other, criterion],
        )


def test_mastery_is_within_the_points(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="mastery_within_points"):
        row(app, "courses.rubric_criterion", max_points=10, mastery_points=11)


# Assignments.


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"opens_at": DUE}, "due_after_opening"),
        ({"late_until": "2026-03-01 12:00+00"}, "late_until_after_due"),
        ({"due_at": None, "late_until": DUE}, "late_needs_due"),
        ({"points_possible": -1}, "points_not_negative"),
        ({"late_penalty_pct_per_day": 101}, "penalty_is_a_share"),
        ({"peer_reviews_required": 11}, "up_to_ten_peer_reviews"),
        ({"submission_kinds": ["song"]}, "submission_kinds_known"),
        ({"submission_kinds": []}, "submission_kinds_known"),
    ],
)
def test_an_assignment_is_sound(app: Connection, given: Any, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        task(school(app), **given)


@pytest.mark.parametrize("what", ["lesson_id", "grade_category_id", "rubric_id"])
def test_an_assignment_is_of_one_course(app: Connection, what: str) -> None:
    place = school(app)
    table = f"courses.{what.removesuffix('_id')}"
    given: dict[str, Any] = {}
    if what == "rubric_id":
        given = {"visibility": "course", "course_id": row(app, "courses.course")}
    elsewhere = row(app, table, **given)
    with pytest.raises(errors.CheckViolation, match="another course"):
        task(place, **{what: elsewhere})


# Submissions.

MACHINE = {
    "draft": ["submitted", "late", "missing"],
    "submitted": ["graded", "returned"],
    "late": ["graded", "returned"],
    "returned": ["draft", "submitted"],
    "missing": ["late", "excused"],
    "graded": ["returned", "excused"],
    "excused": [],
}


def in_state(place: School, state: str) -> UUID:
    """Work as history brings it, in a state; the task is due in the past, so that late is late."""
    handed = state in ("submitted", "late", "returned", "graded")
    days = 0 if state == "submitted" else 1
    return imported(
        place.connection,
        "courses.assignment_submission",
        assignment_id=task(place),
        enrollment_id=place.enrollment,
        state=state,
        submitted_at="2026-03-03 10:00+00" if handed else None,
        days_late=days if handed else 0,
        raw_points=70 if state == "graded" else None,
        graded_at="2026-03-04 10:00+00" if state == "graded" else None,
    )


def go(place: School, submission: UUID, after: str) -> None:
    handed = {"submitted": "2026-03-01 10:00+00", "late": "2026-03-03 10:00+00"}.get(after)
    place.connection.execute(
        "UPDATE courses.assignment_submission SET state = %(after)s,"
        " submitted_at = coalesce(%(handed)s::timestamptz, submitted_at),"
        " raw_points = CASE WHEN %(after)s = 'graded' THEN 80 ELSE raw_points END"
        " WHERE assignment_submission_id = %(id)s",
        {"after": after, "handed": handed, "id": submission},
    )


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, following in MACHINE.items() for a in following]
)
def test_work_moves_on(app: Connection, before: str, after: str) -> None:
    place = school(app)
    work = in_state(place, before)
    go(place, work, after)
    assert stand(app, work)[0] == after


@pytest.mark.parametrize(("before", "after"), refused(MACHINE))
def test_work_does_not_jump(app: Connection, before: str, after: str) -> None:
    place = school(app)
    work = in_state(place, before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        go(place, work, after)


def test_work_begins_as_a_draft(app: Connection) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match="cannot start as submitted"):
        draft(place, task(place), state="submitted", submitted_at=DUE)


@pytest.mark.parametrize(
    ("at", "state", "days", "penalty"),
    [
        ("2026-03-02 12:00+00", "submitted", 0, 0),
        ("2026-03-02 14:00+00", "submitted", 0, 0),
        ("2026-03-02 14:01+00", "late", 1, 10),
        ("2026-03-04 15:00+00", "late", 3, 30),
        ("2026-03-20 15:00+00", "late", 19, 100),
    ],
)
def test_lateness_costs(app: Connection, at: str, state: str, days: int, penalty: int) -> None:
    place = school(app)
    work = draft(place, task(place, grace_hours=2))
    assert hand_in(app, work, at) == state
    assert stand(app, work)[:3] == (state, days, penalty)


def test_late_work_loses_points(app: Connection) -> None:
    place = school(app)
    work = draft(place, task(place))
    hand_in(app, work, "2026-03-03 15:00+00")
    app.execute("UPDATE courses.assignment_submission SET raw_points = 90")
    move(app, work, "graded")
    assert stand(app, work) == ("graded", 2, 20, 90, 72)


def test_late_is_not_in_time(app: Connection) -> None:
    place = school(app)
    work = draft(place, task(place))
    with pytest.raises(errors.CheckViolation, match="is 1 days late"):
        app.execute(
            "UPDATE courses.assignment_submission SET state = 'submitted', submitted_at = %s"
            " WHERE assignment_submission_id = %s",
            ["2026-03-03 10:00+00", work],
        )


@pytest.mark.parametrize("at", ["2026-02-01 09:59+00", "2026-03-05 12:01+00"])
def test_work_is_taken_while_it_is_open(app: Connection, at: str) -> None:
    place = school(app)
    given = {"opens_at": "2026-02-01 10:00+00", "late_until": "2026-03-05 12:00+00"}
    work = draft(place, task(place, **given))
    with pytest.raises(errors.CheckViolation, match="does not take work at"):
        hand_in(app, work, at)


def test_work_is_handed_in_once(app: Connection) -> None:
    place = school(app)
    work = draft(place, task(place))
    hand_in(app, work, DUE)
    with pytest.raises(errors.CheckViolation, match="cannot be handed in"):
        hand_in(app, work, DUE)


def test_returned_work_is_not_late_and_graded_anew(app: Connection) -> None:
    place = school(app)
    work = in_state(place, "graded")
    move(app, work, "returned")
    assert hand_in(app, work, "2026-03-10 10:00+00") == "submitted"
    assert stand(app, work) == ("submitted", 0, 0, None, None)


def test_resubmissions_are_limited(app: Connection) -> None:
    place = school(app)
    assignment = task(place, max_resubmissions=1)
    draft(place, assignment, submission_no=2)
    with pytest.raises(errors.CheckViolation, match="takes 1 resubmissions"):
        draft(place, assignment, submission_no=3)


def test_a_kind_of_work_is_asked(app: Connection) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match="takes url, not text"):
        draft(place, task(place, submission_kinds=["url"]))


def test_work_is_for_a_course_that_is_taken(app: Connection) -> None:
    place = school(app)
    elsewhere = row(app, "courses.assignment")
    with pytest.raises(errors.CheckViolation, match="does not take"):
        draft(place, elsewhere)


def test_work_is_worth_no_more_than_its_task(app: Connection) -> None:
    place = school(app)
    work = draft(place, task(place, points_possible=50))
    with pytest.raises(errors.CheckViolation, match="worth 50 points, not 51"):
        app.execute(
            "UPDATE courses.assignment_submission SET raw_points = 51"
            " WHERE assignment_submission_id = %s",
            [work],
        )


def test_words_are_counted(app: Connection) -> None:
    place = school(app)
    draft(place, task(place), body_text=" Two\n words ")
    assert one(app, "SELECT word_count FROM courses.assignment_submission") == 2


def test_who_hands_nothing_in_is_missing(app: Connection) -> None:
    place = school(app)
    assignment = task(place, late_until="2026-03-05 12:00+00")
    other = place.enroll()
    hand_in(app, draft(place, assignment), DUE)
    mark = "SELECT courses.mark_missing(%s, %s)"
    assert one(app, mark, assignment, "2026-03-05 11:00+00") == 0
    assert one(app, mark, assignment, "2026-03-05 13:00+00") == 1
    assert one(app, mark, assignment, "2026-03-05 13:00+00") == 0
    states = app.execute("SELECT enrollment_id, state FROM courses.assignment_submission")
    assert dict(states.fetchall()) == {place.enrollment: "submitted", other: "missing"}


# Peer reviews.


def test_nobody_reviews_their_own(app: Connection) -> None:
    place = school(app)
    work = draft(place, task(place))
    with pytest.raises(errors.CheckViolation, match="of their own"):
        row(
            app,
            "courses.peer_review",
            assignment_submission_id=work,
            reviewer_enrollment_id=place.enrollment,
        )


def test_a_reviewer_is_of_the_section(app: Connection) -> None:
    place, other = school(app), school(app)
    work = draft(place, task(place))
    with pytest.raises(errors.CheckViolation, match="same section"):
        row(
            app,
            "courses.peer_review",
            assignment_submission_id=work,
            reviewer_enrollment_id=other.enrollment,
        )


@pytest.mark.parametrize(("works", "asked", "each"), [(5, 2, 2), (3, 5, 2), (1, 2, 0)])
def test_reviews_go_round(app: Connection, works: int, asked: int, each: int) -> None:
    place = school(app)
    assignment = task(place, peer_reviews_required=asked)
    learners = [place.enrollment, *[place.enroll() for _ in range(works - 1)]]
    for enrollment in learners:
        hand_in(app, draft(place, assignment, enrollment_id=enrollment), DUE)
    give = "SELECT courses.assign_peer_reviews(%s, %s, %s, %s)"
    values = (assignment, place.section, "2026-03-12 10:00+00", "2026-03-05 10:00+00")
    assert one(app, give, *values) == works * each
    assert one(app, give, *values) == 0
    for column in ("assignment_submission_id", "reviewer_enrollment_id"):
        counts = app.execute(
            f"SELECT count(*) FROM courses.peer_review GROUP BY {column}".encode()
        ).fetchall()
        assert {n for (n,) in counts} <= {each}


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"state": "completed"}, "completed_is_whole"),
        ({"helpfulness_rating": 5}, "helpful_when_read"),
        (
            {"state": "completed", "completed_at": "2020-01-01", "overall_points": 5},
            "completed_after_assignment",
        ),
    ],
)
def test_a_review_is_sound(app: Connection, given: Any, constraint: str) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match=constraint):
        row(
            app,
            "courses.peer_review",
            assignment_submission_id=draft(place, task(place)),
            reviewer_enrollment_id=place.enroll(),
            **given,
        )


# Similarity.


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"similarity_pct": 101}, "shares_bounded"),
        ({"similarity_pct": 10, "largest_match_pct": 11}, "match_within_all"),
        ({"status": "ready"}, "ready_is_whole"),
        ({"decision": "misconduct", "decided_at": "2030-01-01"}, "decided_by_a_person"),
        ({"decision": "cleared"}, "decided_by_a_person"),
        ({"match_count": 1}, "matches_counted"),
    ],
)
def test_a_report_is_sound(app: Connection, given: Any, constraint: str) -> None:
    place = school(app)
    work = draft(place, task(place))
    with pytest.raises(errors.CheckViolation, match=constraint):
        row(app, "courses.similarity_report", assignment_submission_id=work, **given)


# Scores.


def judged(app: Connection, *points: float, **given: Any) -> tuple[School, UUID, list[UUID], UUID]:
    """Work that is handed in, and the criteria that it is judged by."""
    place = school(app)
    made, criteria = rubric(app, *points, **given)
    work = draft(place, task(place, rubric_id=made, points_possible=sum(points)))
    hand_in(app, work, DUE)
    return place, work, criteria, made


def score(
    connection: Connection, work: UUID | None, criterion: UUID, points: float, **given: Any
) -> UUID:
    return row(
        connection,
        "courses.rubric_score",
        **{
            "assignment_submission_id": work,
            "rubric_criterion_id": criterion,
            "points": points,
            "is_final": True,
            **given,
        },
    )


def test_scores_sum_to_the_points(app: Connection) -> None:
    _, work, (first, second), _ = judged(app, 10, 5)
    made = score(app, work, first, 8)
    score(app, work, second, 3)
    assert stand(app, work)[3] == 11
    app.execute("UPDATE courses.rubric_score SET points = 9 WHERE rubric_score_id = %s", [made])
    assert stand(app, work)[3] == 12
    move(app, work, "graded")
    assert stand(app, work)[3:] == (12, 12)
    assert app.execute("SELECT courses.rubric_differences()").fetchall() == []


def test_other_scores_make_no_points(app: Connection) -> None:
    _, work, (first,), _ = judged(app, 10)
    score(app, work, first, 8, is_final=False, assessor_kind="self")
    assert stand(app, work)[3] is None


def test_weights_count_by_percentage(app: Connection) -> None:
    place = school(app)
    made = row(app, "courses.rubric", scoring="percentage")
    criteria = [
        row(app, "courses.rubric_criterion", rubric_id=made, max_points=10, weight_pct=w)
        for w in (80, 20)
    ]
    work = draft(place, task(place, rubric_id=made, points_possible=50))
    score(app, work, criteria[0], 10)
    score(app, work, criteria[1], 5)
    assert stand(app, work)[3] == 45


def test_a_required_criterion_is_scored(app: Connection) -> None:
    _, work, (first, _), _ = judged(app, 10, 5)
    score(app, work, first, 8)
    with pytest.raises(errors.CheckViolation, match="not scored yet"):
        move(app, work, "graded")


def test_a_broken_sum_is_found(app: Connection) -> None:
    _, work, (first,), made = judged(app, 10)
    score(app, work, first, 8)
    move(app, work, "graded")
    app.execute("UPDATE courses.assignment_submission SET raw_points = 9")
    found = app.execute(
        "SELECT thing, id, said::float8, found::float8 FROM courses.rubric_differences()"
    ).fetchall()
    assert found == [("submission", work, 9, 8)]
    assert total(app, made) == 10


def test_a_used_rubric_stays(app: Connection) -> None:
    _, work, (first,), made = judged(app, 10)
    score(app, work, first, 8)
    for statement in (
        "UPDATE courses.rubric_criterion SET max_points = 20",
        "DELETE FROM courses.rubric_criterion",
    ):
        with pytest.raises(errors.CheckViolation, match="it does not change"), app.transaction():
            app.execute(statement.encode())
    with pytest.raises(errors.CheckViolation, match="does not change"), app.transaction():
        row(app, "courses.rubric_rating", rubric_criterion_id=first)
    with pytest.raises(errors.CheckViolation, match="stays locked"):
        app.execute("UPDATE courses.rubric SET is_locked = false WHERE rubric_id = %s", [made])


def test_a_score_is_within_its_level(app: Connection) -> None:
    place = school(app)
    made, (criterion, other) = rubric(app, 10, 10)
    level = row(
        app,
        "courses.rubric_rating",
        rubric_criterion_id=criterion,
        points=7,
        range_minimum=4,
    )
    work = draft(place, task(place, rubric_id=made))
    with (
        pytest.raises(errors.CheckViolation, match="gives 4 to 7 points, not 8"),
        app.transaction(),
    ):
        score(app, work, criterion, 8, rubric_rating_id=level)
    with pytest.raises(errors.CheckViolation, match="of another criterion"), app.transaction():
        score(app, work, other, 5, rubric_rating_id=level)
    with pytest.raises(errors.CheckViolation, match="at most 10 points, not 11"), app.transaction():
        score(app, work, criterion, 11)
    score(app, work, criterion, 4, rubric_rating_id=level)


def test_a_score_is_by_the_rubric_of_the_task(app: Connection) -> None:
    _, work, _, _ = judged(app, 10)
    _, (foreign,) = rubric(app, 10)
    with pytest.raises(errors.CheckViolation, match="not in the rubric"):
        score(app, work, foreign, 5)


def test_a_criterion_has_one_final_score(app: Connection) -> None:
    _, work, (first,), _ = judged(app, 10)
    score(app, work, first, 8)
    with pytest.raises(errors.UniqueViolation):
        score(app, work, first, 7)


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"assessor_kind": "peer", "is_final": False}, "of_a_peer_is_in_a_review"),
        ({"assessor_kind": "self"}, "final_is_no_learners"),
        ({"assignment_submission_id": None}, "of_one_work"),
        ({"points": -1}, "points_not_negative"),
    ],
)
def test_a_score_is_sound(app: Connection, given: Any, constraint: str) -> None:
    _, work, (first,), _ = judged(app, 10)
    with pytest.raises(errors.CheckViolation, match=constraint):
        score(app, work, first, given.pop("points", 5), **given)


def test_a_peers_score_is_in_the_review_of_the_work(app: Connection) -> None:
    place, work, (first,), _ = judged(app, 10)
    reader = place.enroll()
    other = draft(place, task(place))
    reviews = [
        row(
            app,
            "courses.peer_review",
            assignment_submission_id=read,
            reviewer_enrollment_id=reader,
        )
        for read in (work, other)
    ]
    given = {"assessor_kind": "peer", "is_final": False}
    score(app, work, first, 6, peer_review_id=reviews[0], **given)
    with pytest.raises(errors.CheckViolation, match="of another work"):
        score(app, work, first, 6, peer_review_id=reviews[1], **given)


def test_a_final_score_is_evidence_of_its_outcome(app: Connection) -> None:
    place = school(app)
    outcome = row(app, "courses.learning_outcome", calculation="latest")
    made = row(app, "courses.rubric")
    criterion = row(app, "courses.rubric_criterion", rubric_id=made, learning_outcome_id=outcome)
    work = draft(place, task(place, rubric_id=made))
    first = score(app, work, criterion, 8)
    read = "SELECT score_pct::float8, evidence_count FROM courses.outcome_mastery"
    assert one(app, read) == (80, 1)
    app.execute("UPDATE courses.rubric_score SET points = 6 WHERE rubric_score_id = %s", [first])
    assert one(app, read) == (60, 1)


def test_a_scored_essay_is_graded(app: Connection) -> None:
    place = school(app)
    essay, _ = question(app, question_kind="essay", scoring="manual")
    attempt = place.start(place.quiz(essay))
    place.answer(attempt, essay, {"text": "It depends."})
    place.submit(attempt)
    answer = one(app, "SELECT attempt_response_id FROM courses.attempt_response")
    _, (first, second) = rubric(app, 10, 10)
    given = {"attempt_response_id": answer}
    score(app, None, first, 10, **given)
    assert one(app, "SELECT state FROM courses.assessment_attempt") == "submitted"
    score(app, None, second, 5, **given)
    assert one(app, "SELECT state, score::float8 FROM courses.assessment_attempt") == (
        "graded",
        1.5,
    )


def test_two_graders_of_a_work_sum_up(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as admin:
        tenant = add_tenant(admin, "grading-hands")
        become_app(admin, tenant)
        _, work, criteria, _ = judged(admin, 10, 10, 10)
        assessor = row(admin, "user_mgmt.user_account")
        admin.commit()

    def give(connection: Connection, number: int) -> None:
        score(connection, work, criteria[number], 5, assessor_user_account_id=assessor)

    at_once(target, tenant, 3, give)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert stand(connection, work)[3] == 15


def test_the_queue_is_the_oldest_first(app: Connection) -> None:
    place = school(app)
    assignment, blind = task(place), task(place, anonymous_grading=True)
    second = place.enroll()
    works = [
        draft(place, assignment),
        draft(place, assignment, enrollment_id=second),
        draft(place, blind),
        draft(place, blind, enrollment_id=second),
    ]
    days = ["02-20", "02-10", "03-03"]
    for work, day in zip(works, days, strict=False):
        hand_in(app, work, f"2026-{day} 10:00+00")
    found = app.execute(
        "SELECT work_id, learner_id IS NOT NULL, is_late FROM courses.v_grading_queue"
    ).fetchall()
    assert found == [(works[1], True, False), (works[0], True, False), (works[2], False, True)]


def test_an_essay_waits_in_the_queue(app: Connection) -> None:
    place = school(app)
    essay, _ = question(app, question_kind="essay", scoring="manual")
    attempt = place.start(place.quiz(essay))
    place.answer(attempt, essay, {"text": "It depends."})
    assert app.execute("SELECT FROM courses.v_grading_queue").fetchall() == []
    place.submit(attempt)
    assert one(app, "SELECT work_kind, learner_id FROM courses.v_grading_queue") == (
        "answer",
        place.learner,
    )
