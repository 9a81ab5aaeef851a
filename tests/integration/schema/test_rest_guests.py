"""A table is booked once and seats one party; the book is paced; a wait is quoted and ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row

RESERVATION = {
    "requested": {"confirmed", "cancelled"},
    "confirmed": {"reconfirmed", "arrived", "seated", "cancelled", "no_show"},
    "reconfirmed": {"arrived", "seated", "cancelled", "no_show"},
    "arrived": {"seated", "cancelled"},
    "seated": {"completed"},
    "completed": set(),
    "cancelled": set(),
    "no_show": set(),
}
WAIT = {
    "waiting": {"notified", "seated", "left", "cancelled"},
    "notified": {"arrived", "seated", "no_response", "left", "cancelled"},
    "arrived": {"seated", "left"},
    "seated": set(),
    "left": set(),
    "no_response": {"waiting"},
    "cancelled": set(),
}
SESSION = {
    "seated": {"ordered", "vacated"},
    "ordered": {"dining", "check_dropped", "paid"},
    "dining": {"ordered", "check_dropped", "paid"},
    "check_dropped": {"dining", "paid"},
    "paid": {"vacated", "ordered"},
    "vacated": {"bussed"},
    "bussed": set(),
}
TIMES = {
    "cancelled": "cancelled_at = now()",
    "seated": "seated_at = now()",
    "completed": "seated_at = now()",
    "vacated": "vacated_at = now()",
    "bussed": "vacated_at = now(), bussed_at = now()",
}
PATHS = {
    "reservation": {
        "requested": (),
        "confirmed": ("confirmed",),
        "reconfirmed": ("confirmed", "reconfirmed"),
        "arrived": ("confirmed", "arrived"),
        "seated": ("confirmed", "seated"),
        "completed": ("confirmed", "seated", "completed"),
        "cancelled": ("cancelled",),
        "no_show": ("confirmed", "no_show"),
    },
    "waitlist_entry": {
        "waiting": (),
        "notified": ("notified",),
        "arrived": ("notified", "arrived"),
        "seated": ("seated",),
        "left": ("left",),
        "no_response": ("notified", "no_response"),
        "cancelled": ("cancelled",),
    },
    "table_session": {
        "seated": (),
        "ordered": ("ordered",),
        "dining": ("ordered", "dining"),
        "check_dropped": ("ordered", "check_dropped"),
        "paid": ("ordered", "paid"),
        "vacated": ("vacated",),
        "bussed": ("vacated", "bussed"),
    },
}
MACHINES = {"reservation": RESERVATION, "waitlist_entry": WAIT, "table_session": SESSION}


def move(connection: Connection, table: str, state: str) -> None:
    times = TIMES.get(state, "updated_at = now()")
    if table == "waitlist_entry" and state == "cancelled":
        times = "updated_at = now()"
    connection.execute(f"UPDATE rest.{table} SET state = %s, {times}".encode(), [state])


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, a, b) for t, machine in MACHINES.items() for a, b in permutations(machine, 2)],
)
def test_only_the_edges_of_a_state_are_open(
    app: Connection, table: str, before: str, after: str
) -> None:
    row(app, f"rest.{table}")
    for step in PATHS[table][before]:
        move(app, table, step)
    if after in MACHINES[table][before]:
        move(app, table, after)
        assert app.execute(f"SELECT state FROM rest.{table}".encode()).fetchone() == (after,)
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            move(app, table, after)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("guest_profile", {"birthday_month": 13, "birthday_day": 1}, "birthday_possible"),
        ("guest_profile", {"merged_at": "2026-01-01"}, "merge_is_whole"),
        ("guest_profile", {"visit_count": -1}, "counts_not_negative"),
        ("reservation_policy", {"party_min": 5, "party_max": 4}, "party_bounded"),
        ("reservation_policy", {"slot_minutes": 20}, "slot_known"),
        ("reservation_policy", {"covers_per_slot": 0}, "pace_positive"),
        ("reservation", {"expected_end_at": "2026-06-10 17:00+00"}, "ends_after_start"),
        ("reservation", {"deposit_amount": 20}, "deposit_has_state"),
        ("reservation_table", {"held_to": "2026-06-10 17:00+00"}, "held_for_a_while"),
        ("waitlist_entry", {"quoted_minutes": 241}, "quote_bounded"),
        ("waitlist_entry", {"seated_at": "2036-01-01"}, "seated_has_time"),
        ("table_session", {"vacated_at": "2020-01-01"}, "vacated_after_seating"),
        ("table_session", {"party_size": 61}, "party_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"rest.{table}", **columns)


def test_a_party_has_one_policy(app: Connection) -> None:
    period = row(app, "rest.service_period")
    row(app, "rest.reservation_policy", service_period_id=period, party_min=1, party_max=6)
    row(app, "rest.reservation_policy", service_period_id=period, party_min=7, party_max=9)
    with pytest.raises(errors.ExclusionViolation, match="reservation_policy_one_a_party"):
        row(app, "rest.reservation_policy", service_period_id=period, party_min=6, party_max=8)


def hold(connection: Connection, table: UUID, begin: str, end: str) -> UUID:
    return row(
        connection,
        "rest.reservation_table",
        dining_table_id=table,
        held_from=f"2026-06-10 {begin}+00",
        held_to=f"2026-06-10 {end}+00",
    )


def test_a_table_is_held_once_at_a_time(app: Connection) -> None:
    table = row(app, "rest.dining_table")
    hold(app, table, "18:00", "19:30")
    hold(app, table, "19:30", "21:00")
    with pytest.raises(errors.ExclusionViolation, match="reservation_table_never_twice"):
        hold(app, table, "19:00", "20:00")


@pytest.mark.parametrize("state", ["cancelled", "no_show"])
def test_a_booking_that_is_off_frees_its_table(app: Connection, state: str) -> None:
    table, guest = row(app, "rest.dining_table"), row(app, "rest.guest_profile")
    booking = row(app, "rest.reservation", state="confirmed", guest_profile_id=guest)
    row(app, "rest.reservation_table", dining_table_id=table, reservation_id=booking)
    move(app, "reservation", state)
    assert hold(app, table, "18:00", "19:00")
    found = app.execute("SELECT no_show_count FROM rest.guest_profile").fetchone()
    assert found == (1 if state == "no_show" else 0,)


def test_ten_callers_get_one_table_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        table = row(connection, "rest.dining_table")
        bookings = [row(connection, "rest.reservation") for _ in range(10)]

    def book(booking: UUID) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                row(
                    connection,
                    "rest.reservation_table",
                    reservation_id=booking,
                    dining_table_id=table,
                )
            except errors.ExclusionViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(len(bookings)) as pool:
        assert sum(pool.map(book, bookings)) == 1


@pytest.fixture
def area(app: Connection) -> UUID:
    """A dining area on the default plan of a location with a dinner policy."""
    location = row(app, "rest.location", timezone="UTC")
    period = row(
        app, "rest.service_period", location_id=location, starts_time="17:00", ends_time="23:00"
    )
    row(
        app,
        "rest.reservation_policy",
        service_period_id=period,
        location_id=location,
        party_max=10,
        turn_minutes=90,
        covers_per_slot=6,
        parties_per_slot=2,
    )
    plan = row(app, "rest.floor_plan", location_id=location, is_default=True)
    return row(app, "rest.dining_area", floor_plan_id=plan)


def available(connection: Connection, party: int, clock: str = "19:00") -> list[tuple[Any, ...]]:
    """(tables, waste) for a party tomorrow."""
    return connection.execute(
        "SELECT cardinality(dining_tables), waste_covers FROM rest.find_available_tables("
        "(SELECT location_id FROM rest.location),"
        " (current_date + 1 + %s::time) AT TIME ZONE 'UTC', %s)",
        [clock, party],
    ).fetchall()


def test_the_table_that_fits_best_comes_first(app: Connection, area: UUID) -> None:
    for covers in (6, 2, 4):
        row(app, "rest.dining_table", dining_area_id=area, max_covers=covers)
    assert available(app, 3) == [(1, 1), (1, 3)]


def test_tables_side_by_side_seat_a_large_party(app: Connection, area: UUID) -> None:
    for _ in range(2):
        row(app, "rest.dining_table", dining_area_id=area, max_covers=4, join_group="J1")
    assert available(app, 6) == [(2, 2)]


def test_a_held_table_is_not_offered(app: Connection, area: UUID) -> None:
    table = row(app, "rest.dining_table", dining_area_id=area)
    location = app.execute("SELECT location_id FROM rest.location").fetchone()
    assert location
    app.execute(
        "INSERT INTO rest.reservation_table (business_id, reservation_id, dining_table_id,"
        " held_from, held_to) SELECT tenant_mgmt.current_business_id(), %s, %s, t, t +"
        " interval '1 hour' FROM (SELECT (current_date + 1 + time '19:30') AT TIME ZONE 'UTC'"
        " AS t) AS x",
        [row(app, "rest.reservation", location_id=location[0]), table],
    )
    assert available(app, 2, "19:00") == []
    assert available(app, 2, "20:30") == [(1, 2)]


@pytest.mark.parametrize(("clock", "party"), [("12:00", 2), ("19:00", 11), ("19:00", 7)])
def test_nothing_is_offered_outside_the_terms(
    app: Connection, area: UUID, clock: str, party: int
) -> None:
    row(app, "rest.dining_table", dining_area_id=area, max_covers=20)
    assert available(app, party, clock) == []


def test_a_full_slot_takes_nobody_more(app: Connection, area: UUID) -> None:
    row(app, "rest.dining_table", dining_area_id=area, max_covers=6)
    assert available(app, 3) == [(1, 3)]
    location = app.execute("SELECT location_id FROM rest.location").fetchone()
    assert location
    moment = app.execute(
        "SELECT (current_date + 1 + time '19:05') AT TIME ZONE 'UTC',"
        " (current_date + 1 + time '21:00') AT TIME ZONE 'UTC'"
    ).fetchone()
    assert moment
    row(
        app,
        "rest.reservation",
        location_id=location[0],
        party_size=4,
        starts_at=moment[0],
        expected_end_at=moment[1],
    )
    assert available(app, 3) == []
    assert available(app, 2) == [(1, 4)]


def seat(connection: Connection, tables: list[UUID], party: int, **given: Any) -> Any:
    found = connection.execute(
        "SELECT rest.open_table_session(%s, %s, waitlist_entry => %s, reservation => %s)",
        [tables, party, given.get("waitlist_entry"), given.get("reservation")],
    ).fetchone()
    assert found
    return found[0]


def test_seating_ends_the_wait_and_colors_the_table(app: Connection, area: UUID) -> None:
    table = row(app, "rest.dining_table", dining_area_id=area)
    waiting = row(app, "rest.waitlist_entry")
    session = seat(app, [table], 2, waitlist_entry=waiting)
    assert app.execute("SELECT state FROM rest.waitlist_entry").fetchone() == ("seated",)
    assert app.execute("SELECT state FROM rest.dining_table").fetchone() == ("occupied",)
    assert app.execute("SELECT table_session_id FROM rest.table_session").fetchone() == (session,)
    move(app, "table_session", "vacated")
    assert app.execute("SELECT state FROM rest.dining_table").fetchone() == ("dirty",)
    move(app, "table_session", "bussed")
    assert app.execute("SELECT state FROM rest.dining_table").fetchone() == ("available",)


def test_seating_ends_the_booking(app: Connection, area: UUID) -> None:
    booking = row(app, "rest.reservation", state="confirmed")
    seat(app, [row(app, "rest.dining_table", dining_area_id=area)], 2, reservation=booking)
    found = app.execute("SELECT state, seated_at = now() FROM rest.reservation").fetchone()
    assert found == ("seated", True)


def test_joined_tables_hang_off_the_first(app: Connection, area: UUID) -> None:
    tables = [
        row(app, "rest.dining_table", dining_area_id=area, max_covers=4, join_group="J1")
        for _ in range(2)
    ]
    session = seat(app, tables, 7)
    found = app.execute(
        "SELECT dining_table_id, joined_to_session_id FROM rest.table_session"
        " ORDER BY joined_to_session_id NULLS FIRST"
    ).fetchall()
    assert found == [(tables[0], None), (tables[1], session)]


@pytest.mark.parametrize(
    ("groups", "party", "taken", "message"),
    [
        (["J1"], 9, False, "a party of 9 does not fit 4 seats"),
        (["J1", "J2"], 6, False, "do not stand side by side"),
        (["J1"], 2, True, "is taken"),
        ([], 2, False, "there is no such table"),
    ],
)
def test_a_party_is_not_seated_where_it_cannot_sit(
    app: Connection, area: UUID, groups: list[str], party: int, taken: bool, message: str
) -> None:
    tables = [
        row(app, "rest.dining_table", dining_area_id=area, max_covers=4, join_group=g)
        for g in groups
    ]
    if taken:
        seat(app, tables, 2)
    with pytest.raises(psycopg.Error, match=message):
        seat(app, tables, party)


def quote(connection: Connection, party: int) -> Any:
    found = connection.execute(
        "SELECT rest.quote_wait_minutes((SELECT location_id FROM rest.location), %s)", [party]
    ).fetchone()
    assert found
    return found[0]


def test_a_free_table_means_no_wait(app: Connection, area: UUID) -> None:
    row(app, "rest.dining_table", dining_area_id=area)
    assert quote(app, 2) == 0


def test_the_wait_is_until_a_table_turns(app: Connection, area: UUID) -> None:
    app.execute("UPDATE rest.service_period SET target_turn_minutes = 60")
    table = row(app, "rest.dining_table", dining_area_id=area)
    seat(app, [table], 2)
    app.execute("UPDATE rest.table_session SET seated_at = now() - interval '40 minutes'")
    assert quote(app, 2) == 20
    location = app.execute("SELECT location_id FROM rest.location").fetchone()
    assert location
    row(app, "rest.waitlist_entry", location_id=location[0])
    assert quote(app, 2) == 35


def test_a_party_that_fits_nowhere_is_told_the_most(app: Connection, area: UUID) -> None:
    assert quote(app, 9) == 240
