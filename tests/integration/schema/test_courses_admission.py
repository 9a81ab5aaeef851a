"""Who gets in: prerequisites, dates, price, seats that are not oversold, and the queue for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.admissions import (
    cart,
    change,
    enroll,
    enrolled,
    learner,
    line_of,
    of,
    one,
    open_section,
    pay,
    placed,
)
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row


def course(connection: Connection, code: str, **given: Any) -> UUID:
    return row(connection, "courses.course", course_code=code, **given)


def ask_for(connection: Connection, asks: UUID, required: UUID | None, **given: Any) -> UUID:
    return row(
        connection,
        "courses.course_prerequisite",
        course_id=asks,
        required_course_id=required,
        **given,
    )


def complete(connection: Connection, person: UUID, taken: UUID, **given: Any) -> UUID:
    section = row(connection, "courses.course_section", course_id=taken)
    return imported(
        connection,
        "courses.enrollment",
        learner_id=person,
        course_section_id=section,
        **{
            "status": "completed",
            "enrolled_at": "2026-01-05",
            "completed_at": "2026-05-01",
            **given,
        },
    )


def lacks(connection: Connection, person: UUID, wanted: UUID) -> list[tuple[int, str]]:
    return connection.execute(
        "SELECT depth, satisfied_by FROM courses.missing_prerequisites(%s, %s, '2026-05-04')",
        [person, wanted],
    ).fetchall()


def test_what_a_course_asks_for_is_missing_until_it_is_done(app: Connection) -> None:
    basics, wanted, person = course(app, "SQL-1"), course(app, "SQL-2"), learner(app)
    ask_for(app, wanted, basics)
    assert lacks(app, person, wanted) == [(1, "complete SQL-1")]
    complete(app, person, basics)
    assert lacks(app, person, wanted) == []


def test_what_a_prerequisite_asks_for_is_told_too(app: Connection) -> None:
    first, second, third = (course(app, f"SQL-{n}") for n in (1, 2, 3))
    person = learner(app)
    ask_for(app, third, second)
    ask_for(app, second, first)
    assert lacks(app, person, third) == [(1, "complete SQL-2"), (2, "complete SQL-1")]
    complete(app, person, second)
    assert lacks(app, person, third) == []


def test_of_alternatives_one_will_do(app: Connection) -> None:
    python, java, design = (course(app, code) for code in ("PY", "JAVA", "UX"))
    wanted, person = course(app, "DATA"), learner(app)
    ask_for(app, wanted, python, group_no=1)
    ask_for(app, wanted, java, group_no=1)
    ask_for(app, wanted, design, group_no=2)
    assert sorted(lacks(app, person, wanted)) == [
        (1, "complete JAVA"),
        (1, "complete PY"),
        (1, "complete UX"),
    ]
    complete(app, person, java)
    assert lacks(app, person, wanted) == [(1, "complete UX")]
    complete(app, person, design)
    assert lacks(app, person, wanted) == []


def test_a_course_that_is_reached_by_two_ways_is_told_once(app: Connection) -> None:
    base, left, right, top = (course(app, c) for c in ("BASE", "LEFT", "RIGHT", "TOP"))
    for asks, required in ((top, left), (top, right), (left, base), (right, base)):
        ask_for(app, asks, required)
    assert sorted(lacks(app, learner(app), top)) == [
        (1, "complete LEFT"),
        (1, "complete RIGHT"),
        (2, "complete BASE"),
        (2, "complete BASE"),
    ]


def test_a_grade_is_asked_for(app: Connection) -> None:
    basics, wanted, person = course(app, "SQL-1"), course(app, "SQL-2"), learner(app)
    ask_for(app, wanted, basics, requirement_kind="minimum_grade", minimum_grade_pct=70)
    complete(app, person, basics, final_grade_pct=69)
    assert lacks(app, person, wanted) == [(1, "complete SQL-1 with 70 %")]
    complete(app, person, basics, final_grade_pct=70)
    assert lacks(app, person, wanted) == []


@pytest.mark.parametrize(("months", "missing"), [(None, 0), (12, 0), (3, 1)])
def test_what_was_learned_grows_old(app: Connection, months: int | None, missing: int) -> None:
    basics, wanted, person = course(app, "SQL-1"), course(app, "SQL-2"), learner(app)
    ask_for(app, wanted, basics, validity_months=months)
    complete(app, person, basics, enrolled_at="2025-11-01", completed_at="2026-01-20")
    assert len(lacks(app, person, wanted)) == missing


def test_any_version_of_a_course_will_do(app: Connection) -> None:
    old = course(app, "SQL-1", version_no=1)
    new = course(app, "SQL-1", version_no=2)
    wanted, person = course(app, "SQL-2"), learner(app)
    ask_for(app, wanted, new)
    complete(app, person, old)
    assert lacks(app, person, wanted) == []


@pytest.mark.parametrize(("beside", "missing"), [(True, 0), (False, 1)])
def test_what_may_be_taken_beside_need_not_be_done(
    app: Connection, beside: bool, missing: int
) -> None:
    lab, wanted, person = course(app, "LAB"), course(app, "CHEM"), learner(app)
    ask_for(app, wanted, lab, is_corequisite=beside)
    enrolled(app, open_section(app, course_id=lab), learner_id=person)
    assert len(lacks(app, person, wanted)) == missing


@pytest.mark.parametrize(
    ("state", "missing"),
    [("awarded", 0), ("expiring", 0), ("in_grace", 0), ("expired", 1), ("in_progress", 1)],
)
def test_a_certificate_is_asked_for(app: Connection, state: str, missing: int) -> None:
    wanted, person = course(app, "NURSE-2"), learner(app)
    certificate = row(app, "courses.certification", certification_code="FIRST-AID")
    ask_for(app, wanted, None, requirement_kind="certification_held", certification_id=certificate)
    assert lacks(app, person, wanted) == [(1, "hold certificate FIRST-AID")]
    imported(
        app,
        "courses.certification_attainment",
        learner_id=person,
        certification_id=certificate,
        state=state,
        started_on="2025-12-01",
        awarded_on=None if state == "in_progress" else "2026-01-01",
    )
    assert len(lacks(app, person, wanted)) == missing


@pytest.mark.parametrize(("passed", "missing"), [(True, 0), (False, 1)])
def test_a_placement_test_is_asked_for(app: Connection, passed: bool, missing: int) -> None:
    basics, wanted, person = course(app, "FR-1"), course(app, "FR-2"), learner(app)
    ask_for(app, wanted, basics, requirement_kind="placement_test")
    test = row(app, "courses.assessment", course_id=basics, assessment_kind="placement")
    assert lacks(app, person, wanted) == [(1, "pass the placement test of FR-1")]
    imported(
        app,
        "courses.assessment_attempt",
        assessment_id=test,
        enrollment_id=enrolled(app, open_section(app, course_id=basics), learner_id=person),
        state="graded",
        started_at="2026-05-01",
        submitted_at="2026-05-01",
        graded_at="2026-05-01",
        passed=passed,
        score_pct=80 if passed else 20,
    )
    assert len(lacks(app, person, wanted)) == missing


def status(connection: Connection, enrollment: UUID | None) -> Any:
    assert enrollment is not None
    return of(connection, "courses.enrollment", enrollment, "status")


def test_staff_puts_a_learner_into_a_section(app: Connection) -> None:
    section, person = open_section(app), learner(app)
    made = enroll(app, person, section)
    assert status(app, made) == "active"
    assert enroll(app, person, section) == made
    assert of(app, "courses.course_section", section, "enrolled_count") == 1


def test_who_lacks_a_prerequisite_does_not_get_in(app: Connection) -> None:
    basics, wanted, person = course(app, "SQL-1"), course(app, "SQL-2"), learner(app)
    ask_for(app, wanted, basics)
    section = open_section(app, course_id=wanted, section_code="SQL-2-A")
    for source in ("self", "admin"):
        with (
            pytest.raises(errors.CheckViolation, match="SQL-2-A: complete SQL-1"),
            app.transaction(),
        ):
            enroll(app, person, section, source)
    complete(app, person, basics)
    assert status(app, enroll(app, person, section, "self")) == "active"


@pytest.mark.parametrize("kind", ["waivable", "consent"])
def test_staff_waives_what_can_be_waived(app: Connection, kind: str) -> None:
    wanted, person = course(app, "SQL-2"), learner(app)
    if kind == "waivable":
        ask_for(app, wanted, course(app, "SQL-1"), waivable=True)
    else:
        ask_for(app, wanted, None, requirement_kind="instructor_consent")
    section = open_section(app, course_id=wanted)
    with pytest.raises(errors.CheckViolation, match="before section"), app.transaction():
        enroll(app, person, section, "self")
    assert status(app, enroll(app, person, section, "admin")) == "active"


@pytest.mark.parametrize(
    ("moment", "refused"),
    [
        ("2026-04-30 12:00+00", True),
        ("2026-05-01 12:00+00", False),
        ("2026-05-10 12:00+00", False),
        ("2026-05-11 12:00+00", True),
    ],
)
def test_one_enrolls_within_the_window(app: Connection, moment: str, refused: bool) -> None:
    section = open_section(
        app,
        starts_on="2026-05-15",
        ends_on="2026-06-15",
        enrollment_opens_on="2026-05-01",
        enrollment_closes_on="2026-05-10",
    )
    if refused:
        with (
            pytest.raises(errors.CheckViolation, match="takes enrollments from"),
            app.transaction(),
        ):
            enroll(app, learner(app), section, "self", moment=moment)
    else:
        assert enroll(app, learner(app), section, "self", moment=moment)
    assert enroll(app, learner(app), section, "admin", moment=moment)


@pytest.mark.parametrize(("moment", "refused"), [("2026-05-08", False), ("2026-05-09", True)])
def test_one_adds_a_course_that_runs_until_the_add_drop_day(
    app: Connection, moment: str, refused: bool
) -> None:
    section = open_section(app, add_drop_until="2026-05-08")
    change(app, "courses.course_section", section, status="running")
    if refused:
        with pytest.raises(errors.CheckViolation, match="takes enrollments from"):
            enroll(app, learner(app), section, "self", moment=moment)
    else:
        assert enroll(app, learner(app), section, "self", moment=moment)


@pytest.mark.parametrize("state", ["planned", "completed", "cancelled"])
def test_a_section_that_is_not_open_takes_nobody(app: Connection, state: str) -> None:
    open_section(app)
    section = imported(app, "courses.course_section", status=state)
    with pytest.raises(errors.CheckViolation, match=f"is {state}"):
        enroll(app, learner(app), section)


def priced(connection: Connection, **given: Any) -> tuple[UUID, UUID]:
    """A section and an offer of its course for 100."""
    section = open_section(connection, **given)
    offer = row(
        connection,
        "courses.price_offer",
        course_id=of(connection, "courses.course_section", section, "course_id"),
        amount=100,
    )
    return section, offer


def test_what_costs_something_is_ordered_first(app: Connection) -> None:
    section, _ = priced(app)
    with pytest.raises(errors.CheckViolation, match=r"costs 100\.00: order it first"):
        enroll(app, learner(app), section, "self")


def test_a_seat_waits_for_its_money(app: Connection) -> None:
    section, offer = priced(app)
    order = placed(app, offer)
    made = enroll(app, learner(app), section, "self", line_of(app, order))
    assert status(app, made) == "pending_payment"
    pay(app, order, 60)
    assert status(app, made) == "pending_payment"
    pay(app, order, 40)
    assert status(app, made) == "active"
    assert of(app, "courses.course_order", order, "status", "paid_amount")[0] == "paid"


def test_the_first_instalment_lets_in(app: Connection) -> None:
    section, offer = priced(app)
    change(app, "courses.price_offer", offer, pricing="installments", installment_count=4)
    order = placed(app, offer)
    made = enroll(app, learner(app), section, "self", line_of(app, order))
    assert status(app, made) == "pending_payment"
    pay(app, order, 25, installment_no=1)
    assert status(app, made) == "active"


def test_what_is_paid_begins_at_once(app: Connection) -> None:
    section, offer = priced(app)
    change(app, "courses.price_offer", offer, access_days=30)
    order = placed(app, offer)
    pay(app, order, 100)
    made = enroll(app, learner(app), section, "self", line_of(app, order), "2026-05-04 10:00+00")
    assert made is not None
    found = app.execute(
        "SELECT status, access_until - enrolled_at = interval '30 days'"
        " FROM courses.enrollment WHERE enrollment_id = %s",
        [made],
    ).fetchone()
    assert found == ("active", True)


def test_a_line_gives_away_the_seats_that_were_bought(app: Connection) -> None:
    section, offer = priced(app)
    order = cart(app, offer, quantity=2)
    change(app, "courses.course_order", order, status="pending")
    line = line_of(app, order)
    first = enroll(app, learner(app), section, "self", line)
    enroll(app, learner(app), section, "self", line)
    assert of(app, "courses.course_order_line", line, "seats_assigned") == 2
    with pytest.raises(errors.CheckViolation, match="all 2 seats"), app.transaction():
        enroll(app, learner(app), section, "self", line)
    assert first
    change(app, "courses.enrollment", first, status="withdrawn")
    assert enroll(app, learner(app), section, "self", line)


def test_a_line_is_for_its_own_course(app: Connection) -> None:
    section, _ = priced(app)
    _, other = priced(app)
    with pytest.raises(errors.CheckViolation, match="is not for section"):
        enroll(app, learner(app), section, "self", line_of(app, placed(app, other)))


@pytest.mark.parametrize("state", ["cart", "cancelled"])
def test_an_order_that_does_not_stand_pays_for_nothing(app: Connection, state: str) -> None:
    section, offer = priced(app)
    order = cart(app, offer)
    if state != "cart":
        change(app, "courses.course_order", order, status=state)
    with pytest.raises(errors.CheckViolation, match="not placed, or no longer stands"):
        enroll(app, learner(app), section, "self", line_of(app, order))


def test_a_program_that_was_bought_opens_its_courses(app: Connection) -> None:
    program = row(app, "courses.program")
    section = open_section(app)
    row(
        app,
        "courses.program_requirement",
        program_id=program,
        requirement_kind="course",
        course_id=of(app, "courses.course_section", section, "course_id"),
    )
    order = placed(app, row(app, "courses.price_offer", program_id=program, amount=100))
    pay(app, order, 100)
    person, line = learner(app), line_of(app, order)
    with pytest.raises(errors.CheckViolation, match="no seat in the program"), app.transaction():
        enroll(app, person, section, "self", line)
    seat = row(
        app,
        "courses.enrollment",
        learner_id=person,
        course_section_id=None,
        program_id=program,
        course_order_line_id=line,
    )
    change(app, "courses.enrollment", seat, status="active")
    made = enroll(app, person, section, "self", line)
    assert made is not None
    assert of(app, "courses.enrollment", made, "status", "course_order_line_id") == ("active", None)
    elsewhere = open_section(app)
    with pytest.raises(errors.CheckViolation, match="is not for section"):
        enroll(app, person, elsewhere, "self", line)


@pytest.mark.parametrize(
    ("award", "covered"),
    [
        ({}, True),
        ({"valid_until": "2026-05-03"}, False),
        ({"course_section_id": "other"}, False),
        (None, False),
    ],
)
def test_a_scholarship_stands_for_the_price(
    app: Connection, award: dict[str, Any] | None, covered: bool
) -> None:
    section, _ = priced(app)
    person = learner(app)
    if award is not None:
        if "course_section_id" in award:
            award = {"course_section_id": open_section(app)}
        made = row(
            app,
            "courses.scholarship_award",
            learner_id=person,
            awarded_on="2026-01-01",
            **award,
        )
        change(app, "courses.scholarship_award", made, status="accepted")
    if covered:
        assert status(app, enroll(app, person, section, "scholarship", moment="2026-05-04"))
    else:
        with pytest.raises(errors.CheckViolation, match="no scholarship"):
            enroll(app, person, section, "scholarship", moment="2026-05-04")


def queue(connection: Connection, section: UUID) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT position, status FROM courses.waitlist_entry WHERE course_section_id = %s"
        " ORDER BY requested_at, position",
        [section],
    ).fetchall()


def test_who_finds_it_full_waits(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=2)
    assert enroll(app, learner(app), section)
    second = learner(app)
    assert enroll(app, second, section) is None
    assert enroll(app, second, section) is None
    assert enroll(app, learner(app), section) is None
    assert queue(app, section) == [(1, "waiting"), (2, "waiting")]
    with pytest.raises(errors.CheckViolation, match="its waitlist are full"):
        enroll(app, learner(app), section)


def test_a_freed_seat_is_offered_to_the_next(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    first = enroll(app, learner(app), section)
    assert first is not None
    second, third = learner(app), learner(app)
    enroll(app, second, section)
    enroll(app, third, section)
    change(app, "courses.enrollment", first, status="withdrawn")
    assert queue(app, section) == [(1, "offered"), (2, "waiting")]
    # The seat is kept for whom it was offered to.
    assert enroll(app, learner(app), section) is None
    assert enroll(app, third, section) is None
    assert status(app, enroll(app, second, section)) == "active"
    assert queue(app, section)[0] == (1, "accepted")
    assert of(app, "courses.course_section", section, "enrolled_count", "status") == (1, "full")


def test_an_offer_that_lapsed_goes_to_the_next(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    first = enroll(app, learner(app), section)
    assert first is not None
    for _ in range(2):
        enroll(app, learner(app), section)
    change(app, "courses.enrollment", first, status="withdrawn")
    promote = "SELECT courses.promote_waitlist(%s, now() + make_interval(hours => %s))"
    assert one(app, promote, section, 47) == 0
    assert one(app, promote, section, 48) == 1
    assert queue(app, section) == [(1, "expired"), (2, "offered")]


@pytest.mark.parametrize("answer", ["declined", "removed"])
def test_an_offer_that_is_declined_goes_to_the_next(app: Connection, answer: str) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    first = enroll(app, learner(app), section)
    assert first is not None
    second = learner(app)
    enroll(app, second, section)
    enroll(app, learner(app), section)
    change(app, "courses.enrollment", first, status="withdrawn")
    app.execute(
        "UPDATE courses.waitlist_entry SET status = %s WHERE learner_id = %s", [answer, second]
    )
    assert queue(app, section) == [(1, answer), (2, "offered")]


def test_seats_that_are_added_go_to_the_queue(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    for _ in range(4):
        enroll(app, learner(app), section)
    change(app, "courses.course_section", section, seat_limit=3)
    assert queue(app, section) == [(1, "offered"), (2, "offered"), (3, "waiting")]
    assert of(app, "courses.course_section", section, "status") == "open"
    change(app, "courses.course_section", section, seat_limit=None)
    assert queue(app, section)[2] == (3, "offered")


def test_a_section_that_is_cut_down_to_its_learners_is_full(app: Connection) -> None:
    section = open_section(app, seat_limit=9)
    enroll(app, learner(app), section)
    change(app, "courses.course_section", section, seat_limit=1)
    assert of(app, "courses.course_section", section, "status") == "full"
    second = open_section(app)
    enroll(app, learner(app), second)
    enroll(app, learner(app), second)
    with pytest.raises(errors.CheckViolation, match="seats_not_oversold"):
        change(app, "courses.course_section", second, seat_limit=1)


def test_who_declined_may_wait_again_behind_the_others(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    enroll(app, learner(app), section)
    second = learner(app)
    enroll(app, second, section, moment="2026-05-01")
    enroll(app, learner(app), section, moment="2026-05-02")
    app.execute(
        "UPDATE courses.waitlist_entry SET status = 'removed' WHERE learner_id = %s", [second]
    )
    enroll(app, second, section, moment="2026-05-03")
    assert queue(app, section) == [(2, "waiting"), (3, "waiting")]


def test_a_place_in_the_queue_is_held_by_one(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    row(app, "courses.waitlist_entry", course_section_id=section)
    with pytest.raises(errors.ExclusionViolation), app.transaction():
        row(app, "courses.waitlist_entry", course_section_id=section)
    row(app, "courses.waitlist_entry", course_section_id=section, position=2)
    # Two change places: the constraint is looked at when both have moved.
    app.execute("SET CONSTRAINTS ALL DEFERRED")
    app.execute("UPDATE courses.waitlist_entry SET position = 3 - position")
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_there_is_no_queue_for_a_section_that_is_over(app: Connection) -> None:
    section = open_section(app, seat_limit=1, waitlist_limit=5)
    row(app, "courses.waitlist_entry", course_section_id=section)
    change(app, "courses.course_section", section, status="cancelled")
    assert one(app, "SELECT courses.promote_waitlist(%s)", section) == 0


def test_nobody_waits_for_what_is_not_there(app: Connection) -> None:
    nothing = UUID("00000000-0000-0000-0000-000000000001")
    with pytest.raises(errors.NoDataFound), app.transaction():
        one(app, "SELECT courses.promote_waitlist(%s)", nothing)
    open_section(app)
    with pytest.raises(errors.NoDataFound):
        enroll(app, learner(app), nothing)


def school(target: Target, **given: Any) -> tuple[UUID, UUID, list[UUID]]:
    """A tenant with a section and eight learners, committed."""
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        section = open_section(connection, **given)
        return tenant, section, [learner(connection) for _ in range(8)]


def test_the_last_seats_go_to_as_many_as_there_are(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    tenant, section, people = school(target, seat_limit=3, waitlist_limit=8)
    got = at_once(target, tenant, len(people), lambda hand, n: enroll(hand, people[n], section))
    assert sum(e is not None for e in got) == 3
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert of(connection, "courses.course_section", section, "enrolled_count") == 3
        assert sorted(p for p, _ in queue(connection, section)) == [1, 2, 3, 4, 5]
        assert one(connection, "SELECT count(*) FROM courses.seat_differences()") == 0


def test_the_last_seat_is_not_sold_twice_by_hand_either(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    tenant, section, people = school(target, seat_limit=1)

    def hand(connection: Connection, number: int) -> bool:
        try:
            enrolled(connection, section, learner_id=people[number])
        except errors.CheckViolation:
            return False
        return True

    assert sorted(at_once(target, tenant, 2, hand)) == [False, True]


def test_one_freed_seat_is_offered_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    tenant, section, people = school(target, seat_limit=2, waitlist_limit=8)
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        held = [enroll(connection, person, section) for person in people][:2]

    def leave(connection: Connection, number: int) -> None:
        made = held[number]
        assert made is not None
        change(connection, "courses.enrollment", made, status="withdrawn")

    at_once(target, tenant, 2, leave)
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        states = [s for _, s in queue(connection, section)]
        assert states == ["offered", "offered", "waiting", "waiting", "waiting", "waiting"]


def test_a_learner_who_asks_twice_at_once_is_in_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    tenant, section, people = school(target)
    first, second = at_once(target, tenant, 2, lambda hand, _: enroll(hand, people[0], section))
    assert first == second
