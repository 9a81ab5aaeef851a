"""A fitment follows its part, what replaces a part still has to fit, and terms are whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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


def add_part(app: Connection, kind: UUID, **given: Any) -> UUID:
    """A part of a type."""
    return row(app, "auto.part", part_type_id=kind, **given)


def fit(app: Connection, part: UUID, build: UUID, **given: Any) -> UUID:
    """Says that a part fits a build; its type is carried from the part."""
    kind = one(app, "SELECT part_type_id FROM auto.part WHERE part_id = %s", part)
    columns = {"part_type_id": kind, "vehicle_configuration_id": build, **given}
    return row(app, "auto.part_fitment", part_id=part, **columns)


def found(app: Connection, vehicle: UUID, kind: UUID) -> list[UUID]:
    """The parts of a type that fit a vehicle, best first."""
    rows = app.execute(
        "SELECT part_id FROM auto.find_fitting_parts(%s, %s) ORDER BY rank", [vehicle, kind]
    ).fetchall()
    return [part for (part,) in rows]


@pytest.fixture
def kind(app: Connection) -> UUID:
    """A type of parts."""
    return row(app, "auto.part_type")


@pytest.fixture
def build(app: Connection) -> UUID:
    """A build with ventilated discs."""
    return row(app, "auto.vehicle_configuration", model_year=2018, brake_system="ventilated")


@pytest.fixture
def vehicle(app: Connection, build: UUID) -> UUID:
    """A vehicle of the build."""
    return row(app, "auto.vehicle", vehicle_configuration_id=build, vin="1HGCM82633A004352")


# Fitments.


def test_fitments_follow_the_type_of_their_part(
    app: Connection, kind: UUID, build: UUID, vehicle: UUID
) -> None:
    wrong = row(app, "auto.part_type")
    part = add_part(app, wrong)
    fit(app, part, build)
    app.execute("UPDATE auto.part SET part_type_id = %s WHERE part_id = %s", [kind, part])
    assert (found(app, vehicle, kind), found(app, vehicle, wrong)) == ([part], [])


def test_a_fitment_cannot_leave_the_type_of_its_part(
    app: Connection, kind: UUID, build: UUID
) -> None:
    fitment = fit(app, add_part(app, kind), build)
    other = row(app, "auto.part_type")
    app.execute(
        "UPDATE auto.part_fitment SET part_type_id = %s WHERE part_fitment_id = %s",
        [other, fitment],
    )
    query = "SELECT part_type_id FROM auto.part_fitment WHERE part_fitment_id = %s"
    assert one(app, query, fitment) == kind


# What fits a vehicle.


def test_what_replaces_a_part_is_offered_once(
    app: Connection, kind: UUID, build: UUID, vehicle: UUID
) -> None:
    today = add_part(app, kind)
    old = add_part(app, kind, life_cycle="obsolete", superseded_by_part_id=today)
    fit(app, old, build, confidence="catalog")
    fit(app, today, build, confidence="verified")
    assert found(app, vehicle, kind) == [today]


def test_what_replaces_a_part_is_not_offered_where_it_is_excluded(
    app: Connection, kind: UUID, build: UUID, vehicle: UUID
) -> None:
    today = add_part(app, kind)
    old = add_part(app, kind, life_cycle="obsolete", superseded_by_part_id=today)
    fit(app, old, build)
    assert found(app, vehicle, kind) == [today]
    fit(app, today, build, is_excluded=True)
    assert found(app, vehicle, kind) == []


@pytest.mark.parametrize(("brakes", "offered"), [("ventilated", True), ("solid", False)])
def test_a_qualifier_of_the_build_has_to_agree(
    app: Connection, kind: UUID, build: UUID, vehicle: UUID, brakes: str, offered: bool
) -> None:
    part = add_part(app, kind)
    fit(app, part, build, qualifiers=Jsonb({"brake_system": brakes}))
    assert found(app, vehicle, kind) == ([part] if offered else [])


def test_a_disputed_fitment_stands_last(
    app: Connection, kind: UUID, build: UUID, vehicle: UUID
) -> None:
    doubted, trusted = add_part(app, kind), add_part(app, kind)
    fit(app, doubted, build, disputed_return_count=3)
    fit(app, trusted, build, disputed_return_count=2)
    assert found(app, vehicle, kind) == [trusted, doubted]


def test_a_dispute_of_the_part_itself_is_not_outvoted_by_what_it_replaced(
    app: Connection, kind: UUID, build: UUID, vehicle: UUID
) -> None:
    doubted, trusted = add_part(app, kind), add_part(app, kind)
    old = add_part(app, kind, life_cycle="obsolete", superseded_by_part_id=doubted)
    fit(app, doubted, build, disputed_return_count=3)
    fit(app, old, build, confidence="verified")
    fit(app, trusted, build)
    assert found(app, vehicle, kind) == [trusted, doubted]


# Numbers.


def test_a_number_is_searched_for_without_separators(app: Connection, kind: UUID) -> None:
    part = add_part(app, kind, part_number="d1414-8611 a")
    query = "SELECT compressed_number FROM auto.part WHERE part_id = %s"
    assert one(app, query, part) == "D14148611A"


def test_a_number_has_a_letter_or_digit(app: Connection, kind: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="part_number_has_characters"):
        add_part(app, kind, part_number="--")


# Chains.


def test_supersession_does_not_close_a_circle_however_long(app: Connection, kind: UUID) -> None:
    first = last = add_part(app, kind, life_cycle="obsolete")
    for _ in range(60):
        last = add_part(app, kind, life_cycle="obsolete", superseded_by_part_id=last)
    with pytest.raises(errors.CheckViolation, match="replace itself"):
        app.execute(
            "UPDATE auto.part SET superseded_by_part_id = %s WHERE part_id = %s", [last, first]
        )


def wait_until_blocked(watcher: Connection, work: Future[None]) -> None:
    """Returns once somebody waits for a lock of the database, or the work is done."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while not work.done() and not one(watcher, waiting):
        watcher.rollback()


def test_two_at_once_do_not_close_a_circle(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "two-at-once")
        become_app(connection, tenant)
        kind = row(connection, "auto.part_type")
        # Three, for the locks of the rows themselves keep two from replacing each other.
        last = add_part(connection, kind, life_cycle="obsolete")
        middle = add_part(connection, kind, life_cycle="obsolete", superseded_by_part_id=last)
        first = add_part(connection, kind, life_cycle="obsolete")

    def replace(connection: Connection, part: UUID, by: UUID) -> None:
        become_app(connection, tenant)
        connection.execute(
            "UPDATE auto.part SET superseded_by_part_id = %s WHERE part_id = %s", [by, part]
        )

    def replace_back() -> None:
        with psycopg.connect(target.app) as connection:
            replace(connection, last, first)

    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(target.admin) as watcher,
        psycopg.connect(target.app) as connection,
    ):
        replace(connection, first, middle)
        work = pool.submit(replace_back)
        wait_until_blocked(watcher, work)
        connection.commit()
        with pytest.raises(errors.CheckViolation, match="replace itself"):
            work.result()


# Terms.


def test_what_is_booked_online_has_a_duration(app: Connection) -> None:
    row(app, "auto.canned_job", is_online_bookable=True, duration_minutes=30)
    with pytest.raises(errors.CheckViolation, match="canned_job_bookable_has_duration"):
        row(app, "auto.canned_job", is_online_bookable=True)


@pytest.mark.parametrize("kind", ["labor_discount", "parts_discount", "parts_cost_plus"])
def test_an_agreement_that_adjusts_says_by_how_much(app: Connection, kind: str) -> None:
    with pytest.raises(errors.CheckViolation, match="fleet_price_agreement_adjusts"):
        row(app, "auto.fleet_price_agreement", agreement_kind=kind)
