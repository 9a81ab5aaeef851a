"""What instructors earn, what a visitor sees of the catalog, and what became of visitors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
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
)
from tests.integration.schema.rows import imported, row

MONTH = "2026-05-01"


def teach(connection: Connection, section: UUID, basis: str, **given: Any) -> UUID:
    teacher = row(connection, "courses.instructor", revenue_share_pct=40)
    row(
        connection,
        "courses.section_instructor",
        course_section_id=section,
        instructor_id=teacher,
        pay_basis=basis,
        **given,
    )
    return teacher


def sold(connection: Connection, section: UUID, ordered_at: str, quantity: int = 1) -> UUID:
    """A seat of the section that was ordered and paid; returns the payment."""
    offer = row(
        connection,
        "courses.price_offer",
        course_id=of(connection, "courses.course_section", section, "course_id"),
        amount=100,
    )
    order = cart(connection, offer, quantity=quantity)
    change(connection, "courses.course_order", order, status="pending", ordered_at=ordered_at)
    payment = pay(connection, order, 100 * quantity)
    enroll(connection, learner(connection), section, "self", line_of(connection, order))
    return payment


def payouts(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT basis, gross_revenue_amount, refund_adjustment_amount, hours, payout_amount"
        " FROM courses.instructor_payout ORDER BY basis"
    ).fetchall()


def accrue(connection: Connection, month: str = MONTH) -> Any:
    return one(connection, "SELECT courses.accrue_payouts(%s)", month)


def test_a_share_is_of_what_was_sold_in_the_month(app: Connection) -> None:
    section = open_section(app)
    teach(app, section, "revenue_share")
    sold(app, section, "2026-05-04")
    sold(app, section, "2026-05-31 23:59+00", quantity=2)
    sold(app, section, "2026-06-01")
    assert accrue(app) == 1
    assert payouts(app) == [("revenue_share", 200, 0, None, 80)]


def test_a_share_is_less_by_what_was_given_back(app: Connection) -> None:
    section = open_section(app)
    teach(app, section, "revenue_share")
    sold(app, section, "2026-05-04")
    payment = sold(app, section, "2026-04-20")
    seat = one(app, "SELECT max(enrollment_number) FROM courses.enrollment")
    imported(
        app,
        "courses.course_refund",
        course_payment_id=payment,
        enrollment_id=one(
            app, "SELECT enrollment_id FROM courses.enrollment WHERE enrollment_number = %s", seat
        ),
        amount=70,
        status="processed",
        requested_at="2026-05-06",
        decided_at="2026-05-07",
        processed_at="2026-05-08",
    )
    accrue(app)
    assert payouts(app) == [("revenue_share", 100, 70, None, 12)]


def test_hours_are_of_classes_that_were_held(app: Connection) -> None:
    section = open_section(app)
    teacher = teach(app, section, "hourly", pay_amount=60)
    for day, status in (("04", "ended"), ("11", "ended"), ("18", "scheduled")):
        imported(
            app,
            "courses.class_meeting",
            course_section_id=section,
            instructor_id=teacher,
            starts_at=f"2026-05-{day} 10:00+00",
            ends_at=f"2026-05-{day} 11:30+00",
            status=status,
        )
    accrue(app)
    assert payouts(app) == [("hours", 0, 0, Decimal("3.00"), 180)]


@pytest.mark.parametrize(("month", "paid"), [(MONTH, 1), ("2026-06-01", 0)])
def test_a_fee_is_paid_when_the_section_begins(app: Connection, month: str, paid: int) -> None:
    section = open_section(app, starts_on="2026-05-11")
    teach(app, section, "flat", pay_amount=1500)
    assert accrue(app, month) == 0
    change(app, "courses.course_section", section, status="running")
    assert accrue(app, month) == paid
    if paid:
        assert payouts(app) == [("flat", 0, 0, None, 1500)]


def test_what_is_approved_stands_what_is_accrued_is_worked_out_anew(app: Connection) -> None:
    section = open_section(app)
    teach(app, section, "revenue_share")
    sold(app, section, "2026-05-04")
    accrue(app)
    sold(app, section, "2026-05-05")
    assert accrue(app) == 1
    assert payouts(app) == [("revenue_share", 200, 0, None, 80)]
    app.execute("UPDATE courses.instructor_payout SET status = 'approved'")
    sold(app, section, "2026-05-06")
    assert accrue(app) == 0
    assert payouts(app) == [("revenue_share", 200, 0, None, 80)]


def test_a_month_is_owed_once(app: Connection) -> None:
    teacher = row(app, "courses.instructor")
    row(app, "courses.instructor_payout", instructor_id=teacher, payout_amount=5)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.instructor_payout", instructor_id=teacher, payout_amount=6)


def cancel(connection: Connection, section: UUID) -> Any:
    return one(connection, "SELECT courses.cancel_section(%s, 'Too few')", section)


def test_a_section_that_is_called_off_sends_all_home(app: Connection) -> None:
    section = open_section(app, seat_limit=2, waitlist_limit=5)
    sold(app, section, "2026-05-04")
    enroll(app, learner(app), section)
    enroll(app, learner(app), section)
    row(app, "courses.class_meeting", course_section_id=section)
    assert cancel(app, section) == 2
    assert of(app, "courses.course_section", section, "status", "enrolled_count") == (
        "cancelled",
        0,
    )
    for table, expected in (
        ("enrollment", {"withdrawn"}),
        ("waitlist_entry", {"removed"}),
        ("class_meeting", {"cancelled"}),
    ):
        found = app.execute(f"SELECT status FROM courses.{table}".encode()).fetchall()
        assert {status for (status,) in found} == expected
    asked = app.execute("SELECT reason, status, amount FROM courses.course_refund").fetchall()
    assert asked == [("class_cancelled", "requested", 100)]


def test_who_ended_a_course_keeps_it_when_it_is_called_off(app: Connection) -> None:
    section = open_section(app)
    done = enrolled(app, section)
    change(app, "courses.enrollment", done, status="completed")
    assert cancel(app, section) == 0
    assert of(app, "courses.enrollment", done, "status") == "completed"


def test_of_a_group_each_seat_is_asked_back_for_its_part(app: Connection) -> None:
    section = open_section(app)
    payment = sold(app, section, "2026-05-04", quantity=4)
    row(
        app,
        "courses.course_refund",
        course_payment_id=payment,
        amount=320,
        requested_at="2026-05-05",
    )
    enroll(app, learner(app), section)
    cancel(app, section)
    found = app.execute(
        "SELECT amount FROM courses.course_refund WHERE reason = 'class_cancelled'"
    ).fetchall()
    # A fourth of 400, of which only 80 were left.
    assert found == [(80,)]


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_what_is_over_is_not_called_off(app: Connection, status: str) -> None:
    section = imported(app, "courses.course_section", status=status)
    if status == "completed":
        with pytest.raises(errors.CheckViolation, match="completed cannot become cancelled"):
            cancel(app, section)
    else:
        assert cancel(app, section) == 0


def published(connection: Connection, **given: Any) -> UUID:
    course = row(connection, "courses.course", **given)
    row(connection, "courses.course_module", course_id=course)
    row(connection, "courses.course_outcome", course_id=course)
    change(connection, "courses.course", course, status="published")
    return course


def shown(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT course_id, price_from, next_section_id, seats_left FROM courses.v_course_catalog"
    ).fetchall()


def test_the_catalog_shows_what_is_published(app: Connection) -> None:
    row(app, "courses.course")
    course = published(app)
    assert shown(app) == [(course, None, None, None)]


def test_the_catalog_shows_price_and_next_section(app: Connection) -> None:
    course = published(app)
    for amount, until in ((100, None), (90, None), (10, "2020-02-01")):
        row(
            app,
            "courses.price_offer",
            course_id=course,
            amount=amount,
            valid_from="2020-01-01",
            valid_until=until,
        )
    later = open_section(app, course_id=course, starts_on="2035-02-01", seat_limit=3)
    soon = open_section(app, course_id=course, starts_on="2035-01-01", seat_limit=1)
    open_section(app, course_id=course, starts_on="2034-01-01", enrollment_closes_on="2020-01-01")
    row(
        app,
        "courses.course_section",
        course_id=course,
        starts_on="2034-01-01",
        ends_on="2034-02-01",
    )
    assert shown(app) == [(course, 90, soon, 1)]
    enrolled(app, soon)
    enrolled(app, later)
    assert shown(app) == [(course, 90, later, 2)]


def test_seats_on_offer_to_others_are_not_shown_as_free(app: Connection) -> None:
    course = published(app)
    section = open_section(app, course_id=course, seat_limit=1, waitlist_limit=1)
    first = enroll(app, learner(app), section)
    assert first is not None
    enroll(app, learner(app), section)
    change(app, "courses.enrollment", first, status="withdrawn")
    assert shown(app) == [(course, None, section, 0)]


def test_the_funnel_follows_visitors_to_the_end(app: Connection) -> None:
    course = published(app, slug="sql-basics")
    section = open_section(app, course_id=course)
    visitors = [row(app, "user_mgmt.user_account") for _ in range(2)]
    for visitor in [*visitors, visitors[0]]:
        row(
            app,
            "user_analytics.behavior_event",
            user_account_id=visitor,
            signal="page_view",
            resource="courses/sql-basics",
            occurred_at="2026-05-04",
        )
    sold(app, section, "2026-05-04", quantity=3)
    for status, progress, started in (
        ("completed", 100, "2026-05-05"),
        ("active", 50, "2026-05-05"),
        ("active", 10, "2026-05-05"),
        ("active", 0, None),
    ):
        imported(
            app,
            "courses.enrollment",
            course_section_id=section,
            status=status,
            enrolled_at="2026-05-04",
            started_at=started,
            completed_at="2026-05-20" if status == "completed" else None,
            progress_pct=progress,
        )
    app.execute("RESET ROLE")
    app.execute("REFRESH MATERIALIZED VIEW courses.mv_course_funnel")
    app.execute("SET LOCAL ROLE app_user")
    found = app.execute(
        "SELECT month::text, viewed, ordered, enrolled, started, half_done, completed"
        " FROM courses.v_course_funnel WHERE course_id = %s AND month = %s",
        [course, MONTH],
    ).fetchall()
    assert found == [(MONTH, 2, 3, 4, 3, 2, 1)]
