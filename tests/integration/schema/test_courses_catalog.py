"""The catalog: topics in a tree, prerequisites without circles, programs, what is published."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.admissions import change, of, one
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row


def topic(connection: Connection, slug: str, parent: UUID | None = None) -> UUID:
    return row(connection, "courses.subject_area", slug=slug, parent_subject_area_id=parent)


def path(connection: Connection, area: UUID) -> Any:
    return of(connection, "courses.subject_area", area, "path")


def test_a_topic_has_the_path_of_its_parents(app: Connection) -> None:
    top = topic(app, "technology")
    middle = topic(app, "data", top)
    low = topic(app, "databases", middle)
    assert path(app, low) == "technology/data/databases"
    change(app, "courses.subject_area", top, slug="tech")
    assert path(app, low) == "tech/data/databases"
    change(app, "courses.subject_area", middle, parent_subject_area_id=None)
    assert path(app, low) == "data/databases"


def test_topics_are_at_most_four_levels_deep(app: Connection) -> None:
    area = topic(app, "a")
    for slug in ("b", "c", "d"):
        area = topic(app, slug, area)
    with pytest.raises(errors.CheckViolation, match="at_most_four_levels"):
        topic(app, "e", area)


def test_a_tree_that_grows_too_deep_is_not_moved(app: Connection) -> None:
    deep = topic(app, "c", topic(app, "b", topic(app, "a")))
    branch = topic(app, "x")
    topic(app, "y", branch)
    with pytest.raises(errors.CheckViolation, match="at_most_four_levels"):
        change(app, "courses.subject_area", branch, parent_subject_area_id=deep)


def test_a_topic_does_not_lie_within_itself(app: Connection) -> None:
    top = topic(app, "a")
    low = topic(app, "c", topic(app, "b", top))
    with pytest.raises(errors.CheckViolation, match="lies within it"):
        change(app, "courses.subject_area", top, parent_subject_area_id=low)


def test_a_parent_that_is_not_there_is_refused(app: Connection) -> None:
    nobody = UUID("00000000-0000-0000-0000-000000000001")
    with pytest.raises(errors.ForeignKeyViolation, match="does not exist"):
        topic(app, "a", nobody)


def ask_for(connection: Connection, course: UUID, required: UUID, **given: Any) -> UUID:
    return row(
        connection,
        "courses.course_prerequisite",
        course_id=course,
        required_course_id=required,
        **given,
    )


@pytest.mark.parametrize("length", [2, 3, 5])
def test_no_chain_of_prerequisites_closes(app: Connection, length: int) -> None:
    chain = [row(app, "courses.course") for _ in range(length)]
    for course, required in pairwise(chain):
        ask_for(app, course, required)
    with pytest.raises(errors.CheckViolation, match="needed before itself"):
        ask_for(app, chain[-1], chain[0])


def test_two_ways_to_a_course_are_no_circle(app: Connection) -> None:
    top, left, right, base = (row(app, "courses.course") for _ in range(4))
    for course, required in ((top, left), (top, right), (left, base), (right, base)):
        ask_for(app, course, required)
    assert one(app, "SELECT count(*) FROM courses.course_prerequisite") == 4


def test_a_change_does_not_close_a_circle_either(app: Connection) -> None:
    first, second, third = (row(app, "courses.course") for _ in range(3))
    ask_for(app, first, second)
    changed = ask_for(app, second, third)
    with pytest.raises(errors.CheckViolation, match="needed before itself"):
        change(app, "courses.course_prerequisite", changed, required_course_id=first)


def test_two_at_once_do_not_close_a_circle_together(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        pair = [row(connection, "courses.course") for _ in range(2)]

    def hand(connection: Connection, number: int) -> bool:
        try:
            ask_for(connection, pair[number], pair[1 - number])
        except errors.CheckViolation:
            return False
        return True

    assert sorted(at_once(target, tenant, 2, hand)) == [False, True]


def module_and_outcome(connection: Connection, course: UUID) -> None:
    row(connection, "courses.course_module", course_id=course)
    row(connection, "courses.course_outcome", course_id=course)


def test_a_course_with_module_and_outcome_is_published(app: Connection) -> None:
    course = row(app, "courses.course")
    module_and_outcome(app, course)
    change(app, "courses.course", course, status="published")
    assert of(app, "courses.course", course, "status", "published_at")[1] is not None


@pytest.mark.parametrize(
    ("table", "lacks"), [("course_module", "does not say"), ("course_outcome", "no module")]
)
def test_a_course_that_lacks_something_is_not_published(
    app: Connection, table: str, lacks: str
) -> None:
    course = row(app, "courses.course")
    row(app, f"courses.{table}", course_id=course)
    with pytest.raises(errors.CheckViolation, match=lacks):
        change(app, "courses.course", course, status="published")


def test_history_brings_courses_before_their_modules(app: Connection) -> None:
    course = imported(app, "courses.course", status="published")
    assert of(app, "courses.course", course, "status") == "published"


def test_one_published_course_has_an_address(app: Connection) -> None:
    for number in (1, 2):
        course = row(app, "courses.course", slug="sql", course_code="SQL-1", version_no=number)
        module_and_outcome(app, course)
        if number == 1:
            change(app, "courses.course", course, status="published")
    with pytest.raises(errors.UniqueViolation, match="published_slug"):
        change(app, "courses.course", course, status="published")


def test_an_older_version_makes_room_for_the_next(app: Connection) -> None:
    old, new = (
        row(app, "courses.course", slug="sql", course_code="SQL-1", version_no=number)
        for number in (1, 2)
    )
    for course in (old, new):
        module_and_outcome(app, course)
    change(app, "courses.course", old, status="published")
    change(app, "courses.course", old, status="archived")
    change(app, "courses.course", new, status="published")
    assert of(app, "courses.course", new, "status") == "published"


def element(connection: Connection, program: UUID, kind: str = "group", **given: Any) -> UUID:
    return row(
        connection,
        "courses.program_requirement",
        program_id=program,
        requirement_kind=kind,
        **given,
    )


def test_an_element_lies_within_its_own_program(app: Connection) -> None:
    mine, theirs = row(app, "courses.program"), row(app, "courses.program")
    group = element(app, mine)
    assert element(app, mine, parent_requirement_id=group)
    with pytest.raises(errors.CheckViolation, match="of another program"):
        element(app, theirs, parent_requirement_id=group)


def test_an_element_does_not_lie_within_itself(app: Connection) -> None:
    program = row(app, "courses.program")
    top = element(app, program)
    low = element(
        app, program, parent_requirement_id=element(app, program, parent_requirement_id=top)
    )
    with pytest.raises(errors.CheckViolation, match="within itself"):
        change(app, "courses.program_requirement", top, parent_requirement_id=low)


def test_a_course_holds_no_elements(app: Connection) -> None:
    program = row(app, "courses.program")
    course = element(app, program, "course", course_id=row(app, "courses.course"))
    with pytest.raises(errors.CheckViolation, match="holds nothing"):
        element(app, program, parent_requirement_id=course)


def test_a_program_asks_for_a_course_once(app: Connection) -> None:
    program, course = row(app, "courses.program"), row(app, "courses.course")
    element(app, program, "course", course_id=course)
    with pytest.raises(errors.UniqueViolation, match="requirement_course"):
        element(app, program, "capstone", course_id=course)


def test_one_person_leads_a_section(app: Connection) -> None:
    section = row(app, "courses.course_section")
    for role in ("lead", "grader", "grader"):
        row(app, "courses.section_instructor", course_section_id=section, role=role)
    with pytest.raises(errors.UniqueViolation, match="one_lead"):
        row(app, "courses.section_instructor", course_section_id=section, role="lead")


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("instructor", {"revenue_share_pct": 101}, "share_is_a_part"),
        ("instructor", {"average_rating": 5.5}, "rating_has_five_stars"),
        ("instructor", {"engagement": "volunteer", "hourly_rate_amount": 20}, "volunteers_unpaid"),
        ("instructor", {"weekly_capacity_hours": 169}, "week_has_168_hours"),
        ("instructor", {"hourly_rate_amount": -1}, "terms_not_negative"),
        ("course", {"average_rating": 0.5}, "rating_has_five_stars"),
        ("course", {"duration_minutes": 0}, "takes_time"),
        ("course", {"credit_hours": -1}, "credits_not_negative"),
        ("course", {"version_no": 0}, "version_positive"),
        ("course", {"delivery": "by_mail"}, "delivery_known"),
        ("learning_outcome", {"mastery_threshold_pct": 0}, "threshold_is_a_share"),
        ("learning_outcome", {"calculation": "decaying_average"}, "decays_by_a_share"),
        ("learning_outcome", {"decay_pct": 65}, "decays_by_a_share"),
        ("learning_outcome", {"calculation": "n_times"}, "counts_its_times"),
        ("learning_outcome", {"calculation": "n_times", "n_required": 11}, "counts_its_times"),
        ("course_outcome", {"weight_pct": 101}, "weight_is_a_share"),
        ("course_outcome", {"coverage": "assessed"}, "assessed_by_evidence"),
        ("course_prerequisite", {}, "names_what_it_asks_for"),
        (
            "course_prerequisite",
            {"requirement_kind": "certification_held"},
            "names_what_it_asks_for",
        ),
        (
            "course_prerequisite",
            {"requirement_kind": "placement_test", "is_corequisite": True},
            "beside_it_is_a_course",
        ),
        (
            "course_prerequisite",
            {"requirement_kind": "instructor_consent", "group_no": 0},
            "group_positive",
        ),
        (
            "course_prerequisite",
            {"requirement_kind": "placement_test", "minimum_grade_pct": 101},
            "grade_is_a_share",
        ),
        ("program", {"minimum_gpa": 4.1}, "minimum_gpa_on_its_scale"),
        ("program", {"minimum_credits": -1}, "minimum_credits_not_negative"),
        ("program", {"catalog_year": 26}, "catalog_year_plausible"),
        ("program_requirement", {"requirement_kind": "course"}, "course_when_one_is_taken"),
        ("program_requirement", {"requirement_kind": "choose_n"}, "says_how_many"),
        ("program_requirement", {"requirement_kind": "credits"}, "says_how_many_credits"),
        ("program_requirement", {"minimum_grade_pct": 50}, "grade_of_a_course"),
        ("program_requirement", {"requirement_kind": "certification"}, "certificate_when"),
        ("course_section", {"delivery": "classroom"}, "ends_after_start"),
        ("course_section", {"enrollment_opens_on": "2026-05-03"}, None),
        (
            "course_section",
            {"enrollment_opens_on": "2026-05-03", "enrollment_closes_on": "2026-05-02"},
            "enrollment_closes_before_end",
        ),
        ("course_section", {"enrollment_closes_on": "2026-06-02"}, "enrollment_closes_before_end"),
        ("course_section", {"add_drop_until": "2026-06-02"}, "add_drop_before_end"),
        ("course_section", {"seat_limit": 3, "enrolled_count": 4}, "seats_not_oversold"),
        ("course_section", {"enrolled_count": -1}, "seats_not_oversold"),
        ("course_section", {"seat_limit": 3, "cancellation_minimum": 4}, "minimum_fits"),
        ("course_section", {"waitlist_limit": -1}, "waitlist_not_negative"),
        ("section_instructor", {"load_pct": 0}, "load_is_a_share"),
        ("section_instructor", {"pay_basis": "hourly"}, "rate_when_paid_by_rate"),
        ("section_instructor", {"pay_amount": 20}, "rate_when_paid_by_rate"),
        (
            "section_instructor",
            {"assigned_from": "2026-05-02", "assigned_until": "2026-05-01"},
            "leaves_after_start",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str | None
) -> None:
    if truth is None:
        assert row(app, f"courses.{table}", **columns)
        return
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"courses.{table}", **columns)


def test_a_prerequisite_is_another_course(app: Connection) -> None:
    course = row(app, "courses.course")
    with pytest.raises(errors.CheckViolation, match="course_is_another"):
        ask_for(app, course, course)


def test_a_minimum_grade_is_told(app: Connection) -> None:
    course, required = row(app, "courses.course"), row(app, "courses.course")
    with pytest.raises(errors.CheckViolation, match="grade_is_told"):
        ask_for(app, course, required, requirement_kind="minimum_grade")
