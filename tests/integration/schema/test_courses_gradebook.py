"""The gradebook: cells follow what is graded, totals follow the cells, and all is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import row
from tests.integration.schema.school import School, choice, school

WHEN = "2026-03-02 12:00+00"


def one(connection: Connection, statement: str, *values: Any) -> Any:
    found = connection.execute(statement.encode(), list(values)).fetchone()
    return found and (found[0] if len(found) == 1 else found)


def book(connection: Connection) -> School:
    """A school with letters and a column for the total."""
    row(connection, "courses.grading_scheme", is_default=True)
    place = school(connection)
    row(
        connection,
        "courses.grade_item",
        course_section_id=place.section,
        item_kind="course_total",
        max_points=None,
    )
    return place


def category(place: School, **given: Any) -> UUID:
    return row(place.connection, "courses.grade_category", course_id=place.course, **given)


def item(place: School, **given: Any) -> UUID:
    return row(place.connection, "courses.grade_item", course_section_id=place.section, **given)


def grade(place: School, column: UUID, points: float | None, **given: Any) -> UUID:
    return row(
        place.connection,
        "courses.grade_entry",
        **{
            "grade_item_id": column,
            "enrollment_id": place.enrollment,
            "points": points,
            "status": "ungraded" if points is None else "graded",
            "graded_at": None if points is None else WHEN,
            **given,
        },
    )


def total(place: School, enrollment: UUID | None = None) -> Any:
    return one(
        place.connection,
        "SELECT n.points::float8, n.letter FROM courses.grade_entry AS n"
        " JOIN courses.grade_item AS i USING (business_id, grade_item_id)"
        " WHERE i.item_kind = 'course_total' AND n.enrollment_id = %s",
        enrollment or place.enrollment,
    )


def cell(place: School, column: UUID) -> Any:
    return one(
        place.connection,
        "SELECT points::float8, letter, status, cause FROM courses.grade_entry"
        " WHERE grade_item_id = %s AND enrollment_id = %s",
        column,
        place.enrollment,
    )


def history(place: School, entry: UUID) -> Any:
    return place.connection.execute(
        "SELECT old_points::float8, new_points::float8, old_letter, new_letter, cause, reason"
        " FROM courses.grade_change_event WHERE grade_entry_id = %s"
        " ORDER BY changed_at, grade_change_event_id",
        [entry],
    ).fetchall()


def differences(connection: Connection) -> Any:
    return [
        thing for (thing,) in connection.execute("SELECT thing FROM courses.grade_differences()")
    ]


# Columns.


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"item_kind": "assessment"}, "source_by_kind"),
        ({"item_kind": "assignment"}, "source_by_kind"),
        ({"item_kind": "external"}, "source_by_kind"),
        ({"max_points": 0}, "is_worth_points"),
        ({"max_points": None}, "is_worth_points"),
        ({"item_kind": "course_total"}, "is_worth_points"),
        ({"pass_points": 101}, "pass_within_points"),
        ({"weight_override_pct": 101}, "weight_is_a_share"),
    ],
)
def test_a_column_is_sound(app: Connection, given: Any, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        item(school(app), **given)


def test_a_manual_column_has_no_source(app: Connection) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match="source_by_kind"):
        item(place, assessment_id=place.quiz())


@pytest.mark.parametrize("what", ["grade_category", "assessment", "assignment"])
def test_a_column_is_of_one_course(app: Connection, what: str) -> None:
    place = school(app)
    kind = {} if what == "grade_category" else {"item_kind": what}
    with pytest.raises(errors.CheckViolation, match="another course"):
        item(place, **{f"{what}_id": row(app, f"courses.{what}")}, **kind)


def test_a_section_has_one_total(app: Connection) -> None:
    place = book(app)
    with pytest.raises(errors.UniqueViolation):
        item(place, item_kind="course_total", max_points=None)


def test_something_is_left_to_count(app: Connection) -> None:
    place = school(app)
    made = category(place)
    items = [item(place, grade_category_id=made) for _ in range(3)]
    app.execute("UPDATE courses.grade_category SET drop_lowest = 2")
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(errors.CheckViolation, match="drops 2 of its 2 items"), app.transaction():
        app.execute("DELETE FROM courses.grade_item WHERE grade_item_id = %s", [items[0]])
    with pytest.raises(errors.CheckViolation, match="drops 3 of its 3 items"):
        app.execute("UPDATE courses.grade_category SET drop_highest = 1")


# Cells.


@pytest.mark.parametrize(
    ("points", "letter"), [(0, "F"), (60, "C"), (80, "B"), (95, "A"), (150, "A")]
)
def test_percentage_and_letter_follow(app: Connection, points: float, letter: str) -> None:
    place = book(app)
    entry = grade(place, item(place, max_points=200), points * 2)
    found = one(
        app,
        "SELECT percentage::float8, letter FROM courses.grade_entry WHERE grade_entry_id = %s",
        entry,
    )
    assert found == (points, letter)


def test_a_section_has_its_own_letters(app: Connection) -> None:
    place = book(app)
    own = row(
        app,
        "courses.grading_scheme",
        scheme_kind="pass_fail",
        bands='[{"letter": "Pass", "from": 50, "to": 100},'
        ' {"letter": "Fail", "from": 0, "to": 50}]',
    )
    app.execute("UPDATE courses.course_section SET grading_scheme_id = %s", [own])
    grade(place, item(place), 55)
    assert total(place) == (55, "Pass")


def test_a_grade_is_at_most_one_and_a_half_times(app: Connection) -> None:
    place = book(app)
    column = item(place, max_points=10)
    with (
        pytest.raises(errors.CheckViolation, match=r"worth 10 points, not 15\.1"),
        app.transaction(),
    ):
        grade(place, column, 15.1)
    grade(place, column, 15)
    with pytest.raises(errors.CheckViolation, match="one and a half times 9"):
        app.execute("UPDATE courses.grade_item SET max_points = 9 WHERE max_points = 10")


def test_a_grade_is_of_the_section(app: Connection) -> None:
    place, other = book(app), school(app)
    with pytest.raises(errors.CheckViolation, match="is not in"):
        grade(place, item(place), 5, enrollment_id=other.enrollment)


def test_a_locked_column_stays(app: Connection) -> None:
    place = book(app)
    with pytest.raises(errors.CheckViolation, match="are locked"):
        grade(place, item(place, is_locked=True), 5)


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"status": "graded"}, "graded_has_points"),
        ({"points": 5, "graded_at": WHEN, "status": "excused"}, "graded_has_points"),
        ({"points": 5, "graded_at": WHEN, "status": "overridden"}, "for_a_reason"),
        ({"points": 5, "graded_at": WHEN, "cause": "regrade"}, "regraded_for_a_reason"),
        ({"points": -1, "graded_at": WHEN}, "points_not_negative"),
        ({"points": 5, "graded_at": WHEN, "posted_at": "2026-01-01"}, "posted_after_grade"),
    ],
)
def test_a_cell_is_sound(app: Connection, given: dict[str, Any], constraint: str) -> None:
    place = book(app)
    points = given.pop("points", None)
    with pytest.raises(errors.CheckViolation, match=constraint):
        grade(place, item(place), points, **given)


# History.


def test_every_change_is_written_down(app: Connection) -> None:
    place = book(app)
    entry = grade(place, item(place), 70)
    app.execute("SET LOCAL app.request_id = 'req-1'")
    app.execute(
        "UPDATE courses.grade_entry SET points = 85, cause = 'regrade', cause_reason = 'Page 2'"
        " WHERE grade_entry_id = %s",
        [entry],
    )
    assert history(place, entry) == [
        (None, 70, None, "C", "instructor", None),
        (70, 85, "C", "B", "regrade", "Page 2"),
    ]
    assert one(app, "SELECT max(request_id) FROM courses.grade_change_event") == "req-1"
    assert differences(app) == []


def test_what_changes_no_grade_is_not(app: Connection) -> None:
    place = book(app)
    entry = grade(place, item(place), 70)
    app.execute("UPDATE courses.grade_entry SET feedback = 'Good.'")
    assert len(history(place, entry)) == 1


def test_history_is_not_rewritten(app: Connection, admin: Connection) -> None:
    place = book(app)
    grade(place, item(place), 70)
    for statement in (
        "UPDATE courses.grade_change_event SET new_points = 90",
        "DELETE FROM courses.grade_change_event",
    ):
        with pytest.raises(errors.InsufficientPrivilege), app.transaction():
            app.execute(statement.encode())
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE courses.grade_change_event SET new_points = 90")


def test_a_grade_with_a_history_is_not_deleted(app: Connection) -> None:
    place = book(app)
    grade(place, item(place), 70)
    with pytest.raises(errors.ForeignKeyViolation):
        app.execute("DELETE FROM courses.grade_entry")


def test_an_event_changes_something(app: Connection) -> None:
    place = book(app)
    entry = grade(place, item(place), 70)
    given = {"grade_entry_id": entry, "old_points": 5, "new_points": 5, "cause": "instructor"}
    with pytest.raises(errors.CheckViolation, match="changes_something"):
        row(app, "courses.grade_change_event", **given)


def test_an_override_is_kept_beside(app: Connection) -> None:
    place = book(app)
    column = item(place)
    entry = grade(place, column, 70)
    app.execute(
        "UPDATE courses.grade_entry SET points = 90, status = 'overridden',"
        " override_reason = 'Appeal granted' WHERE grade_entry_id = %s",
        [entry],
    )
    assert history(place, entry)[-1] == (70, 90, "C", "A", "override", "Appeal granted")
    read = "SELECT original_points::float8 FROM courses.grade_entry WHERE grade_entry_id = %s"
    assert one(app, read, entry) == 70
    app.execute(
        "UPDATE courses.grade_entry SET points = 70, status = 'graded' WHERE grade_entry_id = %s",
        [entry],
    )
    assert one(app, read, entry) is None
    assert history(place, entry)[-1][4] == "instructor"


@pytest.mark.parametrize("broken", ["history", "chain", "total"])
def test_a_broken_gradebook_is_found(app: Connection, admin: Connection, broken: str) -> None:
    place = book(app)
    column = item(place)
    entry = grade(place, column, 70)
    assert differences(app) == []
    admin.execute("RESET ROLE")
    if broken == "history":
        admin.execute(
            "UPDATE courses.grade_entry SET status = 'excused', points = NULL"
            " WHERE grade_entry_id = %s",
            [entry],
        )
    elif broken == "chain":
        row(
            admin,
            "courses.grade_change_event",
            grade_entry_id=entry,
            old_points=1,
            new_points=70,
            cause="instructor",
        )
    else:
        admin.execute("UPDATE courses.grade_item SET is_extra_credit = true WHERE max_points > 0")
    admin.execute("SET LOCAL ROLE app_user")
    assert broken in differences(app)


# Totals.


def test_without_weights_the_points_decide(app: Connection) -> None:
    place = book(app)
    grade(place, item(place, max_points=50), 25)
    grade(place, item(place, max_points=150), 150)
    item(place)
    assert total(place) == (87.5, "B")


def test_categories_weigh(app: Connection) -> None:
    place = book(app)
    quizzes, exam = category(place, weight_pct=40), category(place, weight_pct=60)
    grade(place, item(place, grade_category_id=quizzes), 50)
    assert total(place) == (50, "F")
    grade(place, item(place, grade_category_id=exam), 100)
    assert total(place) == (80, "B")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"aggregation": "natural"}, 100 * 209 / 320),
        ({"aggregation": "sum"}, 100 * 209 / 320),
        ({"aggregation": "mean"}, (20 + 60 + 70 + 75) / 4),
        ({"aggregation": "median"}, 65),
        ({"aggregation": "highest"}, 75),
        ({"aggregation": "weighted_mean"}, 100 * 209 / 320),
        ({"aggregation": "mean", "drop_lowest": 1}, (60 + 70 + 75) / 3),
        ({"aggregation": "mean", "drop_lowest": 1, "drop_highest": 1}, 65),
        ({"aggregation": "mean", "drop_lowest": 9}, 75),
        ({"aggregation": "mean", "keep_best": 2}, 72.5),
    ],
    ids=str,
)
def test_a_category_aggregates(app: Connection, given: Mapping[str, Any], expected: float) -> None:
    place = book(app)
    made = category(place, **given)
    for points, out_of in ((4, 20), (60, 100), (70, 100), (75, 100)):
        grade(place, item(place, grade_category_id=made, max_points=out_of), points)
    assert total(place)[0] == pytest.approx(expected, abs=0.005)


def test_items_weigh_in_a_weighted_mean(app: Connection) -> None:
    place = book(app)
    made = category(place, aggregation="weighted_mean")
    for points, weight in ((50, 25), (90, 75)):
        grade(place, item(place, grade_category_id=made, weight_override_pct=weight), points)
    assert total(place)[0] == 80


def test_parts_count_in_their_category(app: Connection) -> None:
    place = book(app)
    above = category(place, weight_pct=100, aggregation="weighted_mean")
    labs = category(place, weight_pct=25, parent_category_id=above, drop_lowest=1)
    tests = category(place, weight_pct=75, parent_category_id=above)
    for points in (10, 60):
        grade(place, item(place, grade_category_id=labs), points)
    grade(place, item(place, grade_category_id=tests), 100)
    assert total(place)[0] == 90


def test_extra_credit_adds(app: Connection) -> None:
    place = book(app)
    grade(place, item(place), 80)
    bonus = item(place, max_points=10, is_extra_credit=True)
    entry = grade(place, bonus, 5)
    assert total(place)[0] == 85
    app.execute("UPDATE courses.grade_entry SET points = 15 WHERE grade_entry_id = %s", [entry])
    assert total(place)[0] == 95
    grade(place, item(place, max_points=10, is_extra_credit=True), 15)
    assert total(place)[0] == 100


@pytest.mark.parametrize(
    ("status", "excludes", "expected"),
    [
        ("ungraded", True, 80),
        ("ungraded", False, 40),
        ("missing", True, 40),
        ("excused", True, 80),
        ("excused", False, 80),
    ],
)
def test_what_is_not_graded_counts_by_its_status(
    app: Connection, status: str, excludes: bool, expected: float
) -> None:
    place = book(app)
    made = category(place, excludes_empty=excludes)
    grade(place, item(place, grade_category_id=made), 80)
    grade(place, item(place, grade_category_id=made), None, status=status)
    assert total(place)[0] == expected


def test_grades_are_computed_once(app: Connection) -> None:
    place = school(app)
    row(app, "courses.grading_scheme", is_default=True)
    grade(place, item(place), 80)
    other = place.enroll()
    grade(place, one(app, "SELECT grade_item_id FROM courses.grade_item"), 95, enrollment_id=other)
    assert total(place) is None
    compute = "SELECT courses.compute_section_grades(%s)"
    assert one(app, compute, place.section) == 2
    assert (total(place), total(place, other)) == ((80, "B"), (95, "A"))
    assert one(app, compute, place.section) == 0
    assert differences(app) == []


def test_new_letters_are_computed(app: Connection) -> None:
    place = book(app)
    grade(place, item(place), 80)
    app.execute(
        'UPDATE courses.grading_scheme SET bands = \'[{"letter": "ok", "from": 0, "to": 100}]\''
    )
    assert one(app, "SELECT courses.compute_section_grades(%s)", place.section) == 1
    assert total(place) == (80, "ok")


def test_an_overridden_total_stays(app: Connection) -> None:
    place = book(app)
    entry = grade(place, item(place), 80)
    app.execute(
        "UPDATE courses.grade_entry SET points = 99, status = 'overridden',"
        " override_reason = 'Dean' WHERE grade_entry_id <> %s",
        [entry],
    )
    app.execute("UPDATE courses.grade_entry SET points = 50 WHERE grade_entry_id = %s", [entry])
    assert total(place) == (99, "A")


def test_two_graders_make_one_total(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as admin:
        tenant = add_tenant(admin, "gradebook-hands")
        become_app(admin, tenant)
        place = book(admin)
        columns = [item(place) for _ in range(4)]
        admin.commit()

    def give(connection: Connection, number: int) -> None:
        here = School(
            connection, place.course, place.section, place.module, place.learner, place.enrollment
        )
        grade(here, columns[number], 20 * (number + 1))

    at_once(target, tenant, 4, give)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        here = School(
            connection, place.course, place.section, place.module, place.learner, place.enrollment
        )
        assert total(here)[0] == 50
        assert differences(connection) == []


# What is graded elsewhere.


def submission(place: School, **given: Any) -> tuple[UUID, UUID]:
    """A task with a column of 20 points, and the work of the learner."""
    task = row(
        place.connection,
        "courses.assignment",
        course_id=place.course,
        points_possible=50,
        due_at="2026-03-02 12:00+00",
        late_penalty_pct_per_day=10,
        **given,
    )
    column = item(place, item_kind="assignment", assignment_id=task, max_points=20)
    work = row(
        place.connection,
        "courses.assignment_submission",
        assignment_id=task,
        enrollment_id=place.enrollment,
    )
    return work, column


def grade_work(connection: Connection, work: UUID, at: str, points: float) -> None:
    connection.execute("SELECT courses.hand_in(%s, %s)", [work, at])
    connection.execute(
        "UPDATE courses.assignment_submission SET state = 'graded', raw_points = %s"
        " WHERE assignment_submission_id = %s",
        [points, work],
    )


@pytest.mark.parametrize(
    ("day", "points", "cause"), [("03-01", 16, "instructor"), ("03-03", 14.4, "late_penalty")]
)
def test_a_graded_work_is_in_the_book(app: Connection, day: str, points: float, cause: str) -> None:
    place = book(app)
    work, column = submission(place)
    grade_work(app, work, f"2026-{day} 12:00+00", 40)
    assert cell(place, column)[0] == points
    assert cell(place, column)[2:] == ("graded", cause)


def test_an_excused_work_is_left_out(app: Connection) -> None:
    place = book(app)
    work, column = submission(place)
    for state in ("missing", "excused"):
        app.execute("UPDATE courses.assignment_submission SET state = %s", [state])
        assert cell(place, column) == (None, None, state, "instructor")
    assert work


def test_an_overridden_grade_is_not_written_over(app: Connection) -> None:
    place = book(app)
    work, column = submission(place)
    grade(
        place,
        column,
        19,
        status="overridden",
        override_reason="Agreed",
        cause_reason="Agreed",
        cause="override",
    )
    grade_work(app, work, "2026-03-01 12:00+00", 10)
    assert cell(place, column)[0] == 19


def test_the_latest_version_counts(app: Connection) -> None:
    place = book(app)
    work, column = submission(place)
    grade_work(app, work, "2026-03-01 12:00+00", 40)
    task = one(app, "SELECT assignment_id FROM courses.assignment")
    second = row(
        app,
        "courses.assignment_submission",
        assignment_id=task,
        enrollment_id=place.enrollment,
        submission_no=2,
    )
    grade_work(app, second, "2026-03-01 13:00+00", 30)
    assert cell(place, column)[0] == 12
    app.execute(
        "UPDATE courses.assignment_submission SET raw_points = 50"
        " WHERE assignment_submission_id = %s",
        [work],
    )
    assert cell(place, column)[0] == 12


@pytest.mark.parametrize(
    ("rule", "expected"), [("highest", 20), ("average", 15), ("first", 10), ("last", 20)]
)
def test_a_quiz_is_in_the_book(app: Connection, rule: str, expected: float) -> None:
    place = book(app)
    (first, right), (second, also) = choice(app), choice(app)
    quiz = place.quiz(first, second, attempt_grading=rule)
    column = item(place, item_kind="assessment", assessment_id=quiz, max_points=20)
    for turn, at in enumerate(("2026-02-02 10:00+00", "2026-02-03 10:00+00")):
        attempt = place.start(quiz, at)
        place.answer(attempt, first, {"option": right[0]}, at=at)
        place.answer(attempt, second, {"option": also[0 if turn else 1]}, at=at)
        assert place.submit(attempt, at) == "graded"
    assert cell(place, column)[0] == expected
    assert (
        one(
            app,
            "SELECT attempts_counted FROM courses.grade_entry WHERE grade_item_id = %s",
            column,
        )
        == 2
    )


def test_a_voided_attempt_does_not_count(app: Connection) -> None:
    place = book(app)
    asked, options = choice(app)
    quiz = place.quiz(asked)
    column = item(place, item_kind="assessment", assessment_id=quiz, max_points=20)
    attempt = place.start(quiz)
    place.answer(attempt, asked, {"option": options[0]})
    place.submit(attempt)
    assert cell(place, column)[0] == 20
    app.execute("UPDATE courses.assessment_attempt SET state = 'voided', void_reason = 'Copied'")
    assert cell(place, column)[:3] == (None, None, "ungraded")


def test_a_locked_column_does_not_stop_a_learner(app: Connection) -> None:
    place = book(app)
    asked, _ = choice(app)
    quiz = place.quiz(asked)
    column = item(place, item_kind="assessment", assessment_id=quiz, is_locked=True)
    place.submit(place.start(quiz))
    assert cell(place, column) is None


def test_the_grid_has_a_cell_for_each(app: Connection) -> None:
    place = book(app)
    column, later = item(place, sort_order=1), item(place, sort_order=2)
    grade(place, column, 80)
    place.enroll()
    found = app.execute(
        "SELECT grade_item_id, points::float8, status, total_pct::float8, total_letter"
        " FROM courses.v_gradebook ORDER BY points, learner_number, sort_order"
    ).fetchall()
    assert len(found) == 4
    assert found[0] == (column, 80, "graded", 80, "B")
    assert (later, None, "ungraded", 80, "B") in found
