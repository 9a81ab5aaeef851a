"""Capacity is sold once, technicians are in one place at a time, the board remembers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.test_hs_organization import (
    add_branch,
    add_territory,
    add_unit,
    one,
    serve,
)
from tests.integration.schema.test_hs_workforce import add_technician, may_become

TENANT = "tenant_mgmt.current_business_id()"
CUSTOMERS = 10


@dataclass(frozen=True)
class Shop:
    """A contractor with a zone, a job type, an address and a plan for tomorrow."""

    branch: UUID
    unit: UUID
    zone: UUID
    job: UUID
    location: UUID
    window: UUID
    plan: UUID


def add_plan(connection: Connection, shop_of: dict[str, UUID], **given: Any) -> UUID:
    """A plan for tomorrow, of 240 minutes of demand."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.capacity_plan (business_id, service_territory_id, business_unit_id,"
        " arrival_window_id, plan_on, job_class, planned_minutes, overbook_pct,"
        f" emergency_reserve_minutes) VALUES ({TENANT}, %s, %s, %s, current_date + %s::integer,"
        " %s, %s, %s, %s) RETURNING capacity_plan_id",
        shop_of["zone"],
        shop_of["unit"],
        shop_of["window"],
        given.get("days", 1),
        given.get("job_class", "demand"),
        given.get("minutes", 240),
        given.get("overbook", 0),
        given.get("reserve", 0),
    )
    return found


def add_window(connection: Connection, code: str, starts: str, ends: str) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO hs.arrival_window (business_id, window_code, label, starts_time, ends_time)"
        f" VALUES ({TENANT}, %s, %s, %s, %s) RETURNING arrival_window_id",
        code,
        code,
        starts,
        ends,
    )
    return found


def add_shop(connection: Connection) -> Shop:
    """The smallest contractor that can be booked, of the current tenant; today is theirs."""
    connection.execute("SET LOCAL TIME ZONE 'America/Chicago'")
    branch = add_branch(connection)
    unit = add_unit(connection, branch)
    zone = add_territory(connection, branch, "NORTH")
    serve(connection, zone, "60601", "primary")
    job = one(
        connection,
        "INSERT INTO hs.job_type (business_id, business_unit_id, job_type_code, name, job_class,"
        f" default_minutes) VALUES ({TENANT}, %s, 'REPAIR', 'Repair', 'demand', 90)"
        " RETURNING job_type_id",
        unit,
    )
    customer = one(
        connection,
        "INSERT INTO hs.customer (business_id, customer_number, display_name)"
        f" VALUES ({TENANT}, 'C1', 'Grace') RETURNING customer_id",
    )
    location = one(
        connection,
        "INSERT INTO hs.service_location (business_id, customer_id, location_number,"
        " address_line, city, postal_code, country_code, latitude, longitude)"
        f" VALUES ({TENANT}, %s, 'L1', '1 Oak St', 'Chicago', '60601', 'US', 41.88, -87.63)"
        " RETURNING service_location_id",
        customer,
    )
    window = add_window(connection, "AM", "08:00", "12:00")
    plan = add_plan(connection, {"zone": zone, "unit": unit, "window": window})
    return Shop(branch, unit, zone, job, location, window, plan)


def add_work_order(connection: Connection, number: str = "W1") -> UUID:
    """A requested work order of the only customer."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.work_order (business_id, customer_id, service_location_id, job_type_id,"
        " business_unit_id, work_order_number, summary) SELECT l.business_id, l.customer_id,"
        " l.service_location_id, j.job_type_id, j.business_unit_id, %s, 'No cooling'"
        " FROM hs.service_location AS l, hs.job_type AS j RETURNING work_order_id",
        number,
    )
    return found


@pytest.fixture
def shop(app: Connection) -> Shop:
    """The contractor of the tenant."""
    return add_shop(app)


def hold(connection: Connection, plan: UUID, minutes: int, session: str = "s1") -> UUID:
    found: UUID = one(
        connection,
        "SELECT booking_hold_id FROM hs.hold_slot(%s, %s, %s)",
        plan,
        minutes,
        session,
    )
    return found


def book(connection: Connection, work_order: UUID, held: UUID) -> UUID:
    found: UUID = one(
        connection, "SELECT appointment_id FROM hs.book_appointment(%s, %s)", work_order, held
    )
    return found


def minutes_of(connection: Connection, plan: UUID) -> tuple[int, int]:
    """What is booked and held of a plan, which agrees with its appointments and holds."""
    row = connection.execute(
        "SELECT booked_minutes, held_minutes FROM hs.capacity_plan WHERE capacity_plan_id = %s",
        [plan],
    ).fetchone()
    assert row
    assert one(connection, "SELECT count(*) FROM hs.capacity_differences()") == 0
    return row[0], row[1]


# Holds.


def test_a_hold_keeps_time_of_its_plan(app: Connection, shop: Shop) -> None:
    hold(app, shop.plan, 90)
    assert minutes_of(app, shop.plan) == (0, 90)


@pytest.mark.parametrize(("minutes", "fits"), [(150, True), (151, False)])
def test_a_full_slot_refuses(app: Connection, shop: Shop, minutes: int, fits: bool) -> None:
    hold(app, shop.plan, 90)
    if fits:
        hold(app, shop.plan, minutes, "s2")
        assert minutes_of(app, shop.plan) == (0, 240)
        return
    with pytest.raises(
        errors.ObjectNotInPrerequisiteState, match="full: 150 of 151 minutes are free"
    ):
        hold(app, shop.plan, minutes, "s2")


@pytest.mark.parametrize(
    ("given", "sold"),
    [
        ({"reserve": 60}, 180),
        ({"reserve": 60, "job_class": "emergency"}, 240),
        ({"overbook": 10}, 264),
        ({"overbook": 50, "reserve": 120}, 240),
    ],
)
def test_the_reserve_is_not_sold_online_and_overbooking_is(
    app: Connection, shop: Shop, given: dict[str, Any], sold: int
) -> None:
    plan = add_plan(app, vars(shop), days=2, **given)
    hold(app, plan, sold)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="full: 0 of 1 "):
        hold(app, plan, 1, "s2")


def test_a_session_moves_its_hold(app: Connection, shop: Shop) -> None:
    other = add_plan(app, vars(shop), days=2)
    hold(app, shop.plan, 240)
    hold(app, other, 90)
    assert (minutes_of(app, shop.plan), minutes_of(app, other)) == ((0, 0), (0, 90))
    hold(app, other, 240)
    assert minutes_of(app, other) == (0, 240), "its own hold is not in its way"


def age(connection: Connection, minutes: int) -> None:
    """Lets the holds be so many minutes older."""
    connection.execute(
        "UPDATE hs.booking_hold SET held_at = held_at - %s * interval '1 minute',"
        " expires_at = expires_at - %s * interval '1 minute'",
        [minutes, minutes],
    )


def test_a_stale_hold_gives_way(app: Connection, shop: Shop) -> None:
    stale = hold(app, shop.plan, 240)
    age(app, 11)
    hold(app, shop.plan, 60, "s2")
    assert minutes_of(app, shop.plan) == (0, 60)
    assert (
        one(app, "SELECT status FROM hs.booking_hold WHERE booking_hold_id = %s", stale)
        == "expired"
    )


@pytest.mark.parametrize(("minutes", "ended"), [(9, 0), (11, 1)])
def test_stale_holds_are_swept(app: Connection, shop: Shop, minutes: int, ended: int) -> None:
    hold(app, shop.plan, 90)
    age(app, minutes)
    assert one(app, "SELECT hs.expire_holds()") == ended
    assert minutes_of(app, shop.plan) == (0, 0 if ended else 90)


def test_a_hold_is_given_back_once(app: Connection, shop: Shop) -> None:
    held = hold(app, shop.plan, 90)
    assert one(app, "SELECT hs.release_hold(%s)", held) is True
    assert minutes_of(app, shop.plan) == (0, 0)
    assert one(app, "SELECT hs.release_hold(%s)", held) is False


def test_closed_and_past_days_cannot_be_held(app: Connection, shop: Shop) -> None:
    past = add_plan(app, vars(shop), days=-2)
    with (
        pytest.raises(errors.ObjectNotInPrerequisiteState, match="its day is over"),
        app.transaction(),
    ):
        hold(app, past, 10)
    app.execute("UPDATE hs.capacity_plan SET is_closed = true, closed_reason = 'Snow'")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="booked: Snow"):
        hold(app, shop.plan, 10)


def test_a_window_takes_so_many_bookings(app: Connection, shop: Shop) -> None:
    app.execute("UPDATE hs.arrival_window SET max_booking_count = 2")
    book(app, add_work_order(app), hold(app, shop.plan, 10))
    hold(app, shop.plan, 10, "s2")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="the slot is full"):
        hold(app, shop.plan, 10, "s3")


def test_a_plan_is_never_oversold(app: Connection, shop: Shop) -> None:
    hold(app, shop.plan, 200)
    with pytest.raises(errors.CheckViolation, match="capacity_plan_not_oversold"):
        app.execute(
            "INSERT INTO hs.booking_hold (business_id, capacity_plan_id, session_ref,"
            f" held_minutes, expires_at) VALUES ({TENANT}, %s, 's2', 41,"
            " now() + interval '5 minutes')",
            [shop.plan],
        )


def test_what_is_held_does_not_change(app: Connection, shop: Shop) -> None:
    hold(app, shop.plan, 90)
    with pytest.raises(errors.CheckViolation, match="keeps its plan and its minutes"):
        app.execute("UPDATE hs.booking_hold SET held_minutes = 30")


@pytest.fixture
def crowd(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID, Shop]:
    """A committed contractor in a database of its own, for customers who come at once."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "crowd")
        become_app(connection, tenant)
        shop = add_shop(connection)
    return target, tenant, shop


def test_a_crowd_buys_exactly_what_there_is(crowd: tuple[Target, UUID, Shop]) -> None:
    target, tenant, shop = crowd

    def customer(number: int) -> int:
        """Asks for 30 minutes until it is full; returns how many holds it got."""
        got = 0
        with psycopg.connect(target.app, autocommit=True) as connection:
            for attempt in range(3):
                try:
                    with connection.transaction():
                        become_app(connection, tenant)
                        hold(connection, shop.plan, 30, f"c{number}-{attempt}")
                    got += 1
                except errors.ObjectNotInPrerequisiteState:
                    continue
        return got

    with ThreadPoolExecutor(CUSTOMERS) as pool:
        got = sum(pool.map(customer, range(CUSTOMERS)))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert (got, minutes_of(connection, shop.plan)) == (8, (0, 240))


def test_a_hold_is_booked_once_however_many_try(crowd: tuple[Target, UUID, Shop]) -> None:
    target, tenant, shop = crowd
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        held = hold(connection, shop.plan, 60)
        orders = [add_work_order(connection, f"W{number}") for number in range(CUSTOMERS)]

    def try_to_book(order: UUID) -> bool:
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            try:
                book(connection, order, held)
            except (errors.ObjectNotInPrerequisiteState, errors.UniqueViolation):
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(CUSTOMERS) as pool:
        booked = list(pool.map(try_to_book, orders))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert (booked.count(True), minutes_of(connection, shop.plan)) == (1, (60, 0))


# Booking.


def test_booking_turns_held_into_booked_minutes(app: Connection, shop: Shop) -> None:
    order = add_work_order(app)
    held = hold(app, shop.plan, 90)
    visit = book(app, order, held)
    assert minutes_of(app, shop.plan) == (90, 0)
    row = app.execute(
        "SELECT appointment_number, sequence_no, visit_kind, status,"
        " (window_start_at AT TIME ZONE 'America/Chicago')::time::text,"
        " extract(epoch FROM scheduled_end_at - scheduled_start_at)::integer / 60"
        " FROM hs.appointment WHERE appointment_id = %s",
        [visit],
    ).fetchone()
    assert row == ("W1-1", 1, "first", "scheduled", "08:00:00", 90)
    assert book(app, order, held) == visit, "asked again it is the same visit"


def test_a_second_visit_is_a_return(app: Connection, shop: Shop) -> None:
    order = add_work_order(app)
    book(app, order, hold(app, shop.plan, 60))
    visit = book(app, order, hold(app, shop.plan, 60))
    assert one(
        app,
        "SELECT (appointment_number, visit_kind)::text FROM hs.appointment"
        " WHERE appointment_id = %s",
        visit,
    ) == ("(W1-2,return)")


def test_only_a_live_hold_is_booked(app: Connection, shop: Shop) -> None:
    order = add_work_order(app)
    held = hold(app, shop.plan, 90)
    age(app, 11)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="not live any more"):
        book(app, order, held)


def test_cancelling_gives_time_back_and_moving_takes_it_elsewhere(
    app: Connection, shop: Shop
) -> None:
    other = add_plan(app, vars(shop), days=2)
    visit = book(app, add_work_order(app), hold(app, shop.plan, 90))
    app.execute("UPDATE hs.appointment SET capacity_plan_id = %s", [other])
    assert (minutes_of(app, shop.plan), minutes_of(app, other)) == ((0, 0), (90, 0))
    app.execute("UPDATE hs.appointment SET estimated_minutes = 120")
    assert minutes_of(app, other) == (120, 0)
    app.execute("UPDATE hs.appointment SET status = 'cancelled' WHERE appointment_id = %s", [visit])
    assert minutes_of(app, other) == (0, 0)


# Slots.


def slots(connection: Connection, shop: Shop, days: int = 14) -> list[tuple[Any, ...]]:
    """(days from today, free minutes, rank) of what is offered."""
    return connection.execute(
        "SELECT plan_on - current_date, free_minutes, rank"
        " FROM hs.find_available_slots(%s, %s, current_date, %s)",
        [shop.location, shop.job, days],
    ).fetchall()


def test_slots_are_offered_in_order_of_days(app: Connection, shop: Shop) -> None:
    add_plan(app, vars(shop), days=5)
    add_plan(app, vars(shop), days=3, minutes=120, reserve=30)
    add_plan(app, vars(shop), days=14)
    assert slots(app, shop) == [(1, 240, 1), (3, 90, 2), (5, 240, 3)]
    assert slots(app, shop, 2) == [(1, 240, 1)]


def test_what_does_not_fit_is_not_offered(app: Connection, shop: Shop) -> None:
    hold(app, shop.plan, 151)
    assert slots(app, shop) == []
    age(app, 11)
    assert slots(app, shop) == [(1, 240, 1)], "a stale hold keeps nothing"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hs.capacity_plan SET is_closed = true, closed_reason = 'Snow'",
        "UPDATE hs.arrival_window SET is_bookable_online = false",
        "UPDATE hs.arrival_window SET weekday = 1 + extract(isodow FROM current_date + 1)::integer"
        " % 7",
        "UPDATE hs.job_type SET job_class = 'install'",
        "UPDATE hs.territory_postal_code SET coverage = 'excluded'",
        "INSERT INTO hs.operating_hours (business_id, branch_id, specific_on, is_closed)"
        " SELECT business_id, branch_id, current_date + 1, true FROM hs.branch",
    ],
)
def test_closed_slots_are_not_offered(app: Connection, shop: Shop, statement: str) -> None:
    app.execute(statement.encode())
    assert slots(app, shop) == []


# Who goes.


def put_on(connection: Connection, visit: UUID, technician: UUID, role: str = "lead") -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO hs.appointment_assignment (business_id, appointment_id, technician_id,"
        f" assignment_role) VALUES ({TENANT}, %s, %s, %s) RETURNING appointment_assignment_id",
        visit,
        technician,
        role,
    )
    return found


@pytest.fixture
def visit(app: Connection, shop: Shop) -> UUID:
    """A visit tomorrow from 8 to 9:30 local."""
    return book(app, add_work_order(app), hold(app, shop.plan, 90))


def ready(connection: Connection, zone: UUID, number: str = "T1") -> UUID:
    """A technician who works in the zone tomorrow from 7 to 17 local."""
    technician = add_technician(connection, number)
    connection.execute(
        "INSERT INTO hs.technician_territory (business_id, technician_id, service_territory_id,"
        f" starts_on) VALUES ({TENANT}, %s, %s, '2020-01-01')",
        [technician, zone],
    )
    connection.execute(
        "INSERT INTO hs.technician_shift (business_id, technician_id, shift_on, starts_at,"
        f" ends_at, status) VALUES ({TENANT}, %s, current_date + 1, (current_date + 1"
        " + time '07:00') AT TIME ZONE 'America/Chicago', (current_date + 1 + time '17:00')"
        " AT TIME ZONE 'America/Chicago', 'published')",
        [technician],
    )
    return technician


def demand_skill(connection: Connection, requirement: str, level: int) -> UUID:
    """The job asks for a skill."""
    skill: UUID = one(
        connection,
        "INSERT INTO hs.skill (business_id, skill_code, name, trade, category) VALUES"
        f" ({TENANT}, %s, 'AC', 'hvac', 'repair') RETURNING skill_id",
        f"ac_{requirement}",
    )
    connection.execute(
        "INSERT INTO hs.job_type_skill (business_id, job_type_id, skill_id, requirement,"
        " minimum_level_no) SELECT business_id, job_type_id, %s, %s, %s FROM hs.job_type",
        [skill, requirement, level],
    )
    return skill


def learn(connection: Connection, technician: UUID, skill: UUID, level: int) -> None:
    connection.execute(
        "INSERT INTO hs.technician_skill (business_id, technician_id, skill_id, level_no,"
        f" acquired_on) VALUES ({TENANT}, %s, %s, %s, '2020-01-01')",
        [technician, skill, level],
    )


def eligible(connection: Connection, visit: UUID) -> list[UUID]:
    rows = connection.execute(
        "SELECT technician_id FROM hs.eligible_technicians(%s)", [visit]
    ).fetchall()
    return [row[0] for row in rows]


def test_who_is_free_skilled_and_near_can_go(app: Connection, shop: Shop, visit: UUID) -> None:
    skill = demand_skill(app, "mandatory", 3)
    demand_skill(app, "preferred", 2)
    expert, other = ready(app, shop.zone, "T1"), ready(app, shop.zone, "T2")
    learn(app, expert, skill, 3)
    learn(app, other, skill, 2)
    row = app.execute(
        "SELECT technician_id, skill_gap_count, drive_minutes, free_minutes"
        " FROM hs.eligible_technicians(%s)",
        [visit],
    ).fetchall()
    assert row == [(expert, 1, 30, 570)], "30 minutes where home is not known"


def test_the_nearer_goes_first(app: Connection, shop: Shop, visit: UUID) -> None:
    far, near = ready(app, shop.zone, "T1"), ready(app, shop.zone, "T2")
    for technician, latitude in ((far, 42.4), (near, 41.9)):
        app.execute(
            "UPDATE hs.technician SET home_latitude = %s, home_longitude = -87.63"
            " WHERE technician_id = %s",
            [latitude, technician],
        )
    assert eligible(app, visit) == [near, far]


def test_the_drive_is_what_the_cache_knows(app: Connection, shop: Shop, visit: UUID) -> None:
    technician = ready(app, shop.zone)
    app.execute("UPDATE hs.technician SET home_latitude = 41.9, home_longitude = -87.63")
    app.execute(
        "INSERT INTO hs.travel_time_cache (business_id, origin_cell, destination_cell,"
        f" departure_bucket, travel_minutes, distance_km, expires_at) SELECT {TENANT},"
        " hs.map_cell(41.9, -87.63), hs.map_cell(l.latitude, l.longitude), bucket, 77, 9,"
        " '2099-01-01' FROM hs.service_location AS l, unnest(ARRAY['overnight', 'am_peak',"
        " 'midday', 'pm_peak', 'evening']) AS bucket"
    )
    row = app.execute(
        "SELECT technician_id, drive_minutes FROM hs.eligible_technicians(%s)", [visit]
    ).fetchone()
    assert row == (technician, 77)


@pytest.mark.parametrize(
    "obstacle",
    [
        "UPDATE hs.technician SET is_dispatchable = false",
        "UPDATE hs.technician_territory SET ends_on = current_date",
        "UPDATE hs.technician_shift SET status = 'cancelled'",
        "UPDATE hs.technician_shift SET ends_at = starts_at + interval '2 hours'",
        "UPDATE hs.technician_shift SET shift_kind = 'training'",
    ],
)
def test_who_cannot_go_is_not_offered(
    app: Connection, shop: Shop, visit: UUID, obstacle: str
) -> None:
    technician = ready(app, shop.zone)
    assert eligible(app, visit) == [technician]
    app.execute(obstacle.encode())
    assert eligible(app, visit) == []


def test_absence_and_other_visits_are_in_the_way(app: Connection, shop: Shop, visit: UUID) -> None:
    away, busy = ready(app, shop.zone, "T1"), ready(app, shop.zone, "T2")
    app.execute(
        "INSERT INTO hs.technician_absence (business_id, technician_id, absence_kind, starts_at,"
        " ends_at) SELECT business_id, %s, 'sick', scheduled_start_at, scheduled_end_at"
        " FROM hs.appointment",
        [away],
    )
    app.execute("UPDATE hs.technician_absence SET status = 'approved', decided_at = now()")
    put_on(app, book(app, add_work_order(app, "W2"), hold(app, shop.plan, 60)), busy)
    assert eligible(app, visit) == []


def certify(connection: Connection, technician: UUID, ends_in: int) -> None:
    connection.execute(
        "INSERT INTO hs.certification_type (business_id, certification_code, name, issuing_body,"
        f" regime, is_mandatory_for_dispatch) VALUES ({TENANT}, 'GAS', 'Gas', 'State',"
        " 'gas_fitting', true)"
    )
    connection.execute(
        "INSERT INTO hs.technician_certification (business_id, technician_id,"
        " certification_type_id, certificate_number, status, verified_at, verification_method,"
        " issued_on, expires_on) SELECT t.business_id, %s, t.certification_type_id, '1', 'valid',"
        " now(), 'card', current_date - 900, current_date + %s::integer"
        " FROM hs.certification_type AS t",
        [technician, ends_in],
    )


@pytest.mark.parametrize(("ends_in", "may_go"), [(2, True), (1, False)])
def test_a_certificate_must_hold_on_the_day_of_the_visit(
    app: Connection, shop: Shop, visit: UUID, ends_in: int, may_go: bool
) -> None:
    technician = ready(app, shop.zone)
    certify(app, technician, ends_in)
    assert eligible(app, visit) == ([technician] if may_go else [])
    if may_go:
        put_on(app, visit, technician)
        return
    with pytest.raises(errors.CheckViolation, match="cannot be sent: certificate GAS"):
        put_on(app, visit, technician)


def test_the_lead_has_the_skill_and_a_trainee_learns_it(
    app: Connection, shop: Shop, visit: UUID
) -> None:
    skill = demand_skill(app, "mandatory", 3)
    lead, trainee = ready(app, shop.zone, "T1"), ready(app, shop.zone, "T2")
    learn(app, lead, skill, 3)
    with (
        pytest.raises(errors.CheckViolation, match="cannot be sent: skill ac_mandatory"),
        app.transaction(),
    ):
        put_on(app, visit, trainee)
    put_on(app, visit, lead)
    put_on(app, visit, trainee, "trainee")


def test_one_leads_a_visit(app: Connection, shop: Shop, visit: UUID) -> None:
    put_on(app, visit, ready(app, shop.zone, "T1"))
    with pytest.raises(errors.UniqueViolation, match="appointment_assignment_lead_idx"):
        put_on(app, visit, ready(app, shop.zone, "T2"))


def test_a_technician_is_in_one_place_at_a_time(app: Connection, shop: Shop, visit: UUID) -> None:
    technician = ready(app, shop.zone)
    put_on(app, visit, technician)
    other = book(app, add_work_order(app, "W2"), hold(app, shop.plan, 60))
    with (
        pytest.raises(
            errors.ExclusionViolation, match="appointment_assignment_one_place_at_a_time"
        ),
        app.transaction(),
    ):
        put_on(app, other, technician)
    move(app, other, "90 minutes")
    put_on(app, other, technician)
    with pytest.raises(errors.ExclusionViolation):
        move(app, other, "-1 minute")


def move(connection: Connection, visit: UUID, by: str) -> None:
    """Moves a visit and its promise."""
    connection.execute(
        "UPDATE hs.appointment SET window_start_at = window_start_at + %(by)s::interval,"
        " window_end_at = window_end_at + %(by)s::interval,"
        " scheduled_start_at = scheduled_start_at + %(by)s::interval,"
        " scheduled_end_at = scheduled_end_at + %(by)s::interval"
        " WHERE appointment_id = %(visit)s",
        {"by": by, "visit": visit},
    )


def events(connection: Connection) -> list[Any]:
    """What the board remembers beyond who was put on, in order."""
    rows = connection.execute(
        "SELECT event_kind FROM hs.dispatch_event ORDER BY dispatch_event_id"
    ).fetchall()
    return sorted(row[0] for row in rows)


def test_technicians_follow_their_visit(app: Connection, shop: Shop, visit: UUID) -> None:
    put_on(app, visit, ready(app, shop.zone))
    app.execute("UPDATE hs.appointment SET status = 'confirmed', confirmation_status = 'confirmed'")
    move(app, visit, "1 hour")
    row = app.execute(
        "SELECT a.status, a.confirmation_status, a.rescheduled_count,"
        " g.planned_start_at = a.scheduled_start_at, g.planned_end_at = a.scheduled_end_at"
        " FROM hs.appointment AS a JOIN hs.appointment_assignment AS g USING (appointment_id)"
    ).fetchone()
    assert row == ("scheduled", "unsent", 1, True, True), "confirmed anew"
    assert (
        one(app, "SELECT shift_minutes FROM hs.dispatch_event WHERE event_kind = 'rescheduled'")
        == 60
    )
    app.execute("UPDATE hs.appointment SET status = 'cancelled'")
    assert one(app, "SELECT status FROM hs.appointment_assignment") == "removed"
    assert events(app) == ["assigned", "cancelled", "confirmed", "rescheduled", "unassigned"]


def test_the_board_tells_who_moved_it(app: Connection, shop: Shop, visit: UUID) -> None:
    app.execute("SET LOCAL hs.dispatch_source = 'optimizer'")
    put_on(app, visit, ready(app, shop.zone))
    assert one(app, "SELECT source FROM hs.dispatch_event") == "optimizer"


def test_the_history_of_the_board_is_kept(app: Connection, shop: Shop, visit: UUID) -> None:
    put_on(app, visit, ready(app, shop.zone))
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute("UPDATE hs.dispatch_event SET reason_note = 'x'")


def test_steps_of_a_visit_get_their_times(app: Connection, shop: Shop, visit: UUID) -> None:
    put_on(app, visit, ready(app, shop.zone))
    app.execute(
        "UPDATE hs.appointment_assignment SET status = 'en_route',"
        " departed_at = now() - interval '75 minutes'"
    )
    app.execute(
        "UPDATE hs.appointment_assignment SET status = 'on_site',"
        " arrived_at = now() - interval '1 hour'"
    )
    app.execute("UPDATE hs.appointment_assignment SET status = 'done'")
    row = app.execute(
        "SELECT drive_minutes, on_site_minutes FROM hs.appointment_assignment"
    ).fetchone()
    assert row == (15, 60)


def test_what_is_over_gets_nobody(app: Connection, shop: Shop, visit: UUID) -> None:
    app.execute("UPDATE hs.appointment SET status = 'missed'")
    with pytest.raises(errors.CheckViolation, match="is missed"):
        put_on(app, visit, ready(app, shop.zone))


def test_the_board_shows_who_lacks_what(app: Connection, shop: Shop, visit: UUID) -> None:
    board = b"SELECT technician_name, is_unassigned, missing_skills FROM hs.v_dispatch_board"
    move(app, visit, "-1 day")
    assert app.execute(board).fetchall() == [(None, True, None)]
    move(app, visit, "-1 day")
    assert app.execute(board).fetchall() == [], "that was yesterday"
    move(app, visit, "2 days")
    assert app.execute(board).fetchall() == [(None, True, None)]
    move(app, visit, "1 day")
    assert app.execute(board).fetchall() == [], "that is the day after tomorrow"
    move(app, visit, "-1 day")
    put_on(app, visit, ready(app, shop.zone))
    demand_skill(app, "mandatory", 2)
    assert app.execute(board).fetchall() == [("Ada", False, ["ac_mandatory"])]


def test_minutes_as_the_crow_flies(app: Connection) -> None:
    assert one(app, "SELECT hs.drive_minutes(41.88, -87.63, 41.88, -87.63, now())") == 0
    assert one(app, "SELECT hs.drive_minutes(41.0, -87.0, 42.0, -87.0, now())") == 191, "111.2 km"


# State machines.

HOLD: dict[str, set[str]] = {
    "active": {"converted", "expired", "released"},
    "converted": set(),
    "expired": set(),
    "released": set(),
}
APPOINTMENT: dict[str, set[str]] = {
    "tentative": {"scheduled", "cancelled"},
    "scheduled": {"confirmed", "dispatched", "tentative", "missed", "cancelled"},
    "confirmed": {"scheduled", "dispatched", "missed", "cancelled"},
    "dispatched": {"in_progress", "scheduled", "missed", "cancelled"},
    "in_progress": {"done", "missed", "cancelled"},
    "done": set(),
    "missed": set(),
    "cancelled": set(),
}
ASSIGNMENT: dict[str, set[str]] = {
    "assigned": {"notified", "accepted", "en_route", "removed"},
    "notified": {"accepted", "en_route", "removed"},
    "accepted": {"en_route", "removed"},
    "en_route": {"on_site", "accepted", "removed"},
    "on_site": {"done", "removed"},
    "done": set(),
    "removed": {"assigned"},
}
PREPARED = {
    "appointment": "UPDATE hs.appointment SET actual_start_at = now(), actual_end_at = now()",
    "appointment_assignment": "UPDATE hs.appointment_assignment SET departed_at = now(),"
    " arrived_at = now(), completed_at = now()",
}


@pytest.mark.parametrize(
    ("table", "transitions"),
    [("appointment", APPOINTMENT), ("appointment_assignment", ASSIGNMENT)],
)
def test_the_state_machine_refuses_every_other_transition(
    app: Connection, shop: Shop, visit: UUID, table: str, transitions: dict[str, set[str]]
) -> None:
    put_on(app, visit, ready(app, shop.zone))
    app.execute(PREPARED[table].encode())
    for before in transitions:
        for after in transitions.keys() - {before}:
            allowed = may_become(app, f"hs.{table}", before, after)
            assert allowed == (after in transitions[before]), (before, after)


def test_a_hold_ends_once(app: Connection, shop: Shop) -> None:
    hold(app, shop.plan, 60)
    stamps = {"converted": "converted_at", "released": "released_at"}
    for before in HOLD:
        for after in HOLD.keys() - {before}:
            stamp = stamps.get(after)
            set_after = f", {stamp} = now() + interval '1 minute'" if stamp else ""
            try:
                with app.transaction(force_rollback=True):
                    app.execute("RESET ROLE")
                    app.execute("SET LOCAL session_replication_role = replica")
                    app.execute(
                        "ALTER TABLE hs.booking_hold"
                        " DROP CONSTRAINT booking_hold_converted_has_time,"
                        " DROP CONSTRAINT booking_hold_released_has_time"
                    )
                    app.execute("UPDATE hs.booking_hold SET status = %s", [before])
                    app.execute("SET LOCAL session_replication_role = origin")
                    app.execute(
                        f"UPDATE hs.booking_hold SET status = %s{set_after}".encode(), [after]
                    )
                allowed = True
            except errors.CheckViolation as error:
                if "cannot become" not in str(error):
                    raise
                allowed = False
            assert allowed == (after in HOLD[before]), (before, after)


@pytest.mark.parametrize("status", ["confirmed", "dispatched", "done", "cancelled"])
def test_a_visit_starts_tentative_or_scheduled(app: Connection, shop: Shop, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        app.execute(
            "INSERT INTO hs.appointment (business_id, work_order_id, service_territory_id,"
            " appointment_number, window_start_at, window_end_at, status, actual_start_at,"
            f" actual_end_at) VALUES ({TENANT}, %s, %s, 'A1', now(), now() + interval '2 hours',"
            " %s, now(), now())",
            [add_work_order(app), shop.zone, status],
        )
