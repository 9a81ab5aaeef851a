"""Hours of a day are sold once, however many book; loaners are lent one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

CUSTOMERS = 12
WEEK = {
    day: {"opens": "00:00", "closes": "23:00"}
    for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
}
TOMORROW = "((current_date + 1 + time '10:00') AT TIME ZONE 'America/Chicago')"
APPOINTMENT: dict[str, set[str]] = {
    "requested": {"confirmed", "arrived", "no_show", "cancelled", "rescheduled"},
    "confirmed": {"arrived", "no_show", "cancelled", "rescheduled"},
    "arrived": {"in_service", "cancelled"},
    "in_service": {"completed"},
    "completed": set(),
    "no_show": {"rescheduled"},
    "cancelled": set(),
    "rescheduled": set(),
}
LOANER: dict[str, set[str]] = {
    "reserved": {"out", "cancelled"},
    "out": {"returned", "overdue"},
    "overdue": {"returned"},
    "returned": set(),
    "cancelled": set(),
}


def work(hours: float) -> Jsonb:
    """Services of so many hours in two parts."""
    part = hours / 2
    return Jsonb({"services": [{"code": "A", "hours": part}, {"code": "B", "hours": part}]})


def add_shop(connection: Connection, limit: int = 100, **given: Any) -> UUID:
    """A shop that is open day and night."""
    columns = {"weekly_hours": Jsonb(WEEK), "overbooking_limit_pct": limit, **given}
    return row(connection, "auto.shop", **columns)


def publish(
    connection: Connection, shop: UUID, hours: int, days: int = 1, status: str = "published"
) -> UUID:
    """A shift of a technician of so many productive hours, so many days ahead."""
    begin = one(connection, f"SELECT {TOMORROW} + make_interval(days => %s)", days - 1)
    return row(
        connection,
        "auto.technician_shift",
        technician_id=row(connection, "auto.technician", shop_id=shop),
        shop_id=shop,
        shift_on=one(connection, "SELECT current_date + %s::integer", days),
        shift_kind="regular",
        starts_at=begin,
        ends_at=one(connection, "SELECT %s + interval '9 hours'", begin),
        productive_hours=hours,
        status=status,
    )


def book(
    connection: Connection, shop: UUID, customer: UUID, hours: float, **given: Any
) -> dict[str, Any]:
    """Books a slot online; returns the appointment."""
    at = given.get("at") or one(connection, f"SELECT {TOMORROW}")
    found: dict[str, Any] = one(
        connection,
        "SELECT to_jsonb(a) FROM auto.book_appointment(%s, %s, NULL, %s, %s, %s) AS a",
        shop,
        customer,
        at,
        work(hours),
        given.get("session", "s1"),
    )
    return found


def capacity(connection: Connection, shop: UUID, days: int = 1) -> tuple[float, ...]:
    found = connection.execute(
        "SELECT published_hours, limit_hours, booked_hours"
        " FROM auto.day_capacity(%s, current_date + %s::integer)",
        [shop, days],
    ).fetchone()
    assert found
    return tuple(float(hours) for hours in found)


@pytest.fixture
def shop(app: Connection) -> UUID:
    """A shop with eight hours tomorrow, all of which may be booked."""
    found = add_shop(app)
    publish(app, found, 8)
    return found


@pytest.fixture
def customer(app: Connection) -> UUID:
    """A customer of the tenant."""
    return row(app, "auto.customer")


# The hours of a day.


def test_published_hours_are_booked_up_to_the_limit(app: Connection, customer: UUID) -> None:
    shop = add_shop(app, limit=125)
    publish(app, shop, 4)
    publish(app, shop, 4)
    publish(app, shop, 20, status="planned")
    publish(app, shop, 20, days=2)
    book(app, shop, customer, 6, session="s1")
    book(app, shop, customer, 4, session="s2")
    assert capacity(app, shop) == (8, 10, 10)
    with pytest.raises(errors.CheckViolation, match=r"has 10\.50 of 10\.00 hours booked"):
        book(app, shop, customer, 0.5, session="s3")


def test_a_day_without_shifts_takes_nothing(app: Connection, customer: UUID) -> None:
    shop = add_shop(app)
    book(app, shop, customer, 0)
    with pytest.raises(errors.CheckViolation, match=r"has 0\.50 of 0\.00 hours"):
        book(app, shop, customer, 0.5, session="s2")


def visit(connection: Connection, shop: UUID, hours: float, **given: Any) -> UUID:
    """An appointment of so many hours for tomorrow."""
    begin = one(connection, f"SELECT {TOMORROW}")
    columns = {
        "starts_at": begin,
        "ends_at": one(connection, "SELECT %s + interval '30 minutes'", begin),
        "status": "confirmed",
        **given,
    }
    return row(connection, "auto.appointment", shop_id=shop, planned_hours=hours, **columns)


@pytest.mark.parametrize("end", ["cancelled", "no_show", "rescheduled"])
def test_what_falls_through_frees_its_hours(app: Connection, shop: UUID, end: str) -> None:
    visit(app, shop, 8)
    app.execute("UPDATE auto.appointment SET status = %s, cancelled_reason = 'price'", [end])
    assert capacity(app, shop) == (8, 8, 0)
    visit(app, shop, 8)


def test_a_hold_takes_hours_until_it_runs_out(app: Connection, shop: UUID) -> None:
    held = one(app, "SELECT now() + interval '10 minutes'")
    request = visit(app, shop, 8, status="requested", hold_expires_at=held)
    with pytest.raises(errors.CheckViolation, match=r"has 9\.00 of 8\.00 hours"), app.transaction():
        visit(app, shop, 1)
    app.execute("UPDATE auto.appointment SET hold_expires_at = now() - interval '1 minute'")
    visit(app, shop, 1)
    with pytest.raises(errors.CheckViolation, match=r"has 9\.00 of 8\.00 hours"):
        app.execute(
            "UPDATE auto.appointment SET status = 'confirmed' WHERE appointment_id = %s", [request]
        )


@pytest.mark.parametrize(
    "change",
    [
        "planned_hours = planned_hours + 1",
        "starts_at = starts_at + interval '1 day', ends_at = ends_at + interval '1 day'",
    ],
)
def test_more_hours_are_refused_on_an_update_too(app: Connection, shop: UUID, change: str) -> None:
    visit(app, shop, 8)
    with pytest.raises(errors.CheckViolation, match="hours booked"):
        app.execute(f"UPDATE auto.appointment SET {change}".encode())


def test_who_is_booked_is_served_when_somebody_calls_in_sick(app: Connection, shop: UUID) -> None:
    visit(app, shop, 8)
    app.execute("UPDATE auto.technician_shift SET status = 'cancelled'")
    app.execute("UPDATE auto.appointment SET status = 'arrived'")
    app.execute("UPDATE auto.appointment SET planned_hours = 7")
    assert capacity(app, shop) == (0, 0, 7)


def test_history_is_imported_as_it_was(app: Connection, shop: UUID) -> None:
    app.execute("RESET ROLE")
    visit(app, shop, 80)
    assert capacity(app, shop)[2] == 80


# Booking online.


def test_a_booking_is_confirmed_with_the_hours_of_its_services(
    app: Connection, shop: UUID, customer: UUID
) -> None:
    booked = book(app, shop, customer, 3)
    assert (booked["status"], booked["channel"], booked["planned_hours"]) == ("confirmed", "web", 3)
    assert booked["appointment_number"] == "AP-000001"
    assert one(app, "SELECT ends_at - starts_at = interval '3 hours' FROM auto.appointment")
    assert one(app, "SELECT confirmed_at = now() FROM auto.appointment")


def test_another_tap_moves_the_booking(app: Connection, shop: UUID, customer: UUID) -> None:
    publish(app, shop, 8, days=2)
    first = book(app, shop, customer, 8)
    assert book(app, shop, customer, 8) == first
    later = one(app, f"SELECT {TOMORROW} + interval '1 day'")
    moved = book(app, shop, customer, 4, at=later)
    assert moved["appointment_id"] == first["appointment_id"]
    assert capacity(app, shop)[2] == 0
    assert capacity(app, shop, 2)[2] == 4


@pytest.mark.parametrize("status", ["do_not_service", "archived"])
def test_an_unwanted_customer_calls(
    app: Connection, shop: UUID, customer: UUID, status: str
) -> None:
    app.execute("UPDATE auto.customer SET status = %s", [status])
    with pytest.raises(errors.CheckViolation, match="cannot book online"):
        book(app, shop, customer, 1)


def test_the_past_is_not_booked(app: Connection, shop: UUID, customer: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="is over"):
        book(app, shop, customer, 1, at=one(app, "SELECT now()"))


HOURS = {
    "mon": {"opens": "07:30", "closes": "18:00"},
    "tue": {"opens": "07:30", "closes": "18:00"},
    "exceptions": [
        {"on": "2027-01-04", "closed": True},
        {"on": "2027-01-10", "opens": "09:00", "closes": "10:00"},
    ],
}


@pytest.mark.parametrize(
    ("local", "opens"),
    [
        ("2027-01-11 07:29", False),
        ("2027-01-11 07:30", True),
        ("2027-01-11 17:59", True),
        ("2027-01-11 18:00", False),
        ("2027-01-04 10:00", False),
        ("2027-01-10 09:30", True),
        ("2027-01-17 09:30", False),
    ],
)
def test_a_shop_opens_by_its_week_and_exceptions(
    app: Connection, customer: UUID, local: str, opens: bool
) -> None:
    shop = add_shop(app, weekly_hours=Jsonb(HOURS))
    at = one(app, "SELECT %s::timestamp AT TIME ZONE 'America/Chicago'", local)
    assert one(app, "SELECT auto.shop_opens(%s, %s)", shop, at) is opens
    if opens:
        book(app, shop, customer, 0, at=at)
    else:
        with pytest.raises(errors.CheckViolation, match="shop is closed"):
            book(app, shop, customer, 0, at=at)


@contextmanager
def as_app(target: Target, tenant: UUID) -> Iterator[Connection]:
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        yield connection


@pytest.fixture
def crowd(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID, UUID, UUID]:
    """A shop with eight hours tomorrow that others may book too, and a customer."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "crowded")
        become_app(connection, tenant)
        shop = add_shop(connection)
        publish(connection, shop, 8)
        customer = row(connection, "auto.customer")
    return target, tenant, shop, customer


def test_a_day_is_sold_once_however_many_book(crowd: tuple[Target, UUID, UUID, UUID]) -> None:
    target, tenant, shop, customer = crowd

    def try_to_book(number: int) -> bool:
        try:
            with as_app(target, tenant) as connection:
                book(connection, shop, customer, 2, session=f"s{number}")
        except errors.CheckViolation:
            return False
        return True

    with ThreadPoolExecutor(CUSTOMERS) as pool:
        booked = list(pool.map(try_to_book, range(CUSTOMERS)))
    with as_app(target, tenant) as connection:
        assert (booked.count(True), capacity(connection, shop)[2]) == (4, 8)


def test_a_session_books_once_however_often_it_taps(
    crowd: tuple[Target, UUID, UUID, UUID],
) -> None:
    target, tenant, shop, customer = crowd

    def tap(_: int) -> str:
        with as_app(target, tenant) as connection:
            return str(book(connection, shop, customer, 2)["appointment_id"])

    with ThreadPoolExecutor(CUSTOMERS) as pool:
        assert len(set(pool.map(tap, range(CUSTOMERS)))) == 1
    with as_app(target, tenant) as connection:
        assert capacity(connection, shop)[2] == 2


# States.


def allowed(
    connection: Connection, table: str, before: str, after: str, needs: dict[str, str]
) -> bool:
    """Whether a row put into a state without triggers may move on; `needs`: what a state asks."""
    steps = {
        state: f"UPDATE {table} SET status = '{state}'{needs.get(state, '')}"
        for state in (before, after)
    }
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("RESET ROLE")
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(steps[before].encode())
            connection.execute("SET LOCAL session_replication_role = origin")
            connection.execute(steps[after].encode())
    except errors.CheckViolation as error:
        if "cannot become" not in str(error):
            raise
        return False
    return True


CAME = ", arrived_at = now()"
VISIT_NEEDS = {
    "confirmed": ", confirmed_at = now()",
    "arrived": CAME,
    "in_service": CAME,
    "completed": CAME,
    "cancelled": ", cancelled_reason = 'price'",
}


@pytest.mark.parametrize("before", APPOINTMENT)
def test_an_appointment_comes_or_falls_through(app: Connection, before: str) -> None:
    row(app, "auto.appointment")
    moves = {
        after
        for after in APPOINTMENT
        if after != before and allowed(app, "auto.appointment", before, after, VISIT_NEEDS)
    }
    assert moves == APPOINTMENT[before]


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"ends_at": "2026-05-04 10:00+00"}, "ends_after_start"),
        ({"planned_hours": -1}, "hours_bounded"),
        ({"ready_promise_at": "2026-05-04 10:00+00"}, "promised_after_start"),
    ],
)
def test_an_appointment_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"appointment_{truth}"):
        row(app, "auto.appointment", **columns)


def test_a_cancelled_appointment_has_a_reason(app: Connection) -> None:
    row(app, "auto.appointment")
    with pytest.raises(errors.CheckViolation, match="appointment_cancelled_has_reason"):
        app.execute("UPDATE auto.appointment SET status = 'cancelled', cancelled_reason = ' '")


def test_who_came_was_no_no_show(app: Connection) -> None:
    row(app, "auto.appointment", arrived_at="2026-05-04 10:05+00")
    with pytest.raises(errors.CheckViolation, match="appointment_missed_never_arrived"):
        app.execute("UPDATE auto.appointment SET status = 'no_show'")


@pytest.mark.parametrize(
    ("document", "hours"),
    [
        (Jsonb({}), 0),
        (Jsonb({"services": []}), 0),
        (Jsonb({"services": [{"hours": 1.25}, {"code": "ASK"}, {"hours": "0.5"}]}), 1.75),
    ],
)
def test_planned_hours_are_those_of_the_services(
    app: Connection, shop: UUID, document: Jsonb, hours: float
) -> None:
    assert shop
    row(
        app,
        "auto.appointment",
        planned_hours=None,
        requested_services=document,
        shop_id=shop,
        starts_at=one(app, f"SELECT {TOMORROW}"),
        ends_at=one(app, f"SELECT {TOMORROW} + '1h'"),
    )
    assert float(one(app, "SELECT planned_hours FROM auto.appointment")) == hours


# Loaners.

LOAN: dict[str, Any] = {
    "status": "out",
    "license_verified": True,
    "odometer_out": 100,
    "out_at": "2026-05-04 10:00+00",
    "due_at": "2026-05-05 10:00+00",
}
LOAN_NEEDS = {
    "returned": ", returned_at = out_at + interval '1 hour', odometer_in_reading = 120",
}


@pytest.fixture
def loaner(app: Connection) -> UUID:
    """A car of the shop's own."""
    return row(app, "auto.vehicle", usage_kind="loaner")


def lend(connection: Connection, loaner: UUID, **given: Any) -> UUID:
    return row(connection, "auto.loaner_agreement", loaner_vehicle_id=loaner, **{**LOAN, **given})


@pytest.mark.parametrize("before", LOANER)
def test_a_loaner_goes_out_and_comes_back(app: Connection, loaner: UUID, before: str) -> None:
    lend(app, loaner)
    needs = {**LOAN_NEEDS, **dict.fromkeys(set(LOANER) - {"returned"}, ", returned_at = NULL")}
    moves = {
        after
        for after in LOANER
        if after != before and allowed(app, "auto.loaner_agreement", before, after, needs)
    }
    assert moves == LOANER[before]


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"license_verified": False}, "license_before_keys"),
        ({"odometer_out": None}, "out_has_odometer"),
        ({"odometer_in_reading": 99}, "odometer_rises"),
        ({"due_at": "2026-05-04 10:00+00"}, "due_after_out"),
        ({"fuel_out_pct": 101}, "fuel_bounded"),
        ({"daily_charge_amount": -1}, "amounts_not_negative"),
        ({"returned_at": "2026-05-04 11:00+00"}, "returned_has_time"),
    ],
)
def test_no_key_without_a_license_and_an_odometer(
    app: Connection, loaner: UUID, columns: dict[str, Any], truth: str
) -> None:
    lend(app, loaner, status="reserved", license_verified=False, odometer_out=None)
    with pytest.raises(errors.CheckViolation, match=f"loaner_agreement_{truth}"):
        lend(app, row(app, "auto.vehicle"), **columns)


def test_a_loaner_is_lent_to_one_at_a_time(app: Connection, loaner: UUID) -> None:
    lend(app, loaner)
    later = {"out_at": "2026-05-05 10:00+00", "due_at": "2026-05-06 10:00+00"}
    lend(app, loaner, **later, status="reserved")
    with pytest.raises(errors.ExclusionViolation, match="one_driver_at_a_time"):
        lend(app, loaner, out_at="2026-05-05 09:00+00", due_at="2026-05-05 09:30+00")


def test_an_overdue_loaner_is_promised_to_nobody(app: Connection, loaner: UUID) -> None:
    lend(app, loaner)
    app.execute("UPDATE auto.loaner_agreement SET status = 'overdue'")
    later = {"out_at": "2026-05-20 10:00+00", "due_at": "2026-05-21 10:00+00"}
    with pytest.raises(errors.ExclusionViolation, match="one_driver"), app.transaction():
        lend(app, loaner, **later, status="reserved")
    app.execute(
        "UPDATE auto.loaner_agreement SET status = 'returned', odometer_in_reading = 130,"
        " returned_at = '2026-05-07 10:00+00'"
    )
    lend(app, loaner, **later, status="reserved")
