"""Sites open when they say so; a business day ends at closeout, a table goes through its states."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

TABLE = {
    "available": {"reserved", "occupied", "blocked"},
    "reserved": {"available", "occupied", "blocked"},
    "occupied": {"dirty", "available"},
    "dirty": {"available", "blocked"},
    "blocked": {"available"},
}


@pytest.fixture
def location(app: Connection) -> UUID:
    return row(
        app, "rest.location", location_code="L1", timezone="America/Chicago", closeout_hour=4
    )


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-06-05 23:30 America/Chicago", "2026-06-05"),
        ("2026-06-06 03:59 America/Chicago", "2026-06-05"),
        ("2026-06-06 04:00 America/Chicago", "2026-06-06"),
    ],
)
def test_the_night_belongs_to_the_evening_before(
    app: Connection, location: UUID, moment: str, day: str
) -> None:
    found = app.execute(
        "SELECT rest.business_date(%s, %s::timestamptz)::text", [location, moment]
    ).fetchone()
    assert found == (day,)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"service_format": "cloud_kitchen", "seat_count": 4}, "without_guests_has_no_seats"),
        ({"seat_count": -1}, "seats_not_negative"),
        ({"latitude": 41.9}, "place_is_whole"),
        ({"closeout_hour": 13}, "closeout_hour_bounded"),
    ],
)
def test_a_location_is_possible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"location_{truth}"):
        row(app, "rest.location", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"weekday": None}, "weekday_or_date"),
        ({"weekday": 8}, "weekday_iso"),
        ({"weekday": None, "on_date": "2026-12-25"}, "weekly_has_weekday"),
        ({"closes_time": None}, "times_are_whole"),
        ({"opens_time": None, "closes_time": None}, "closed_without_times"),
        ({"opens_time": "18:00", "closes_time": "02:00"}, "close_after_opening"),
        ({"last_order_minutes": 600}, "last_order_bounded"),
    ],
)
def test_opening_hours_make_sense(
    app: Connection, location: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"location_hours_{truth}"):
        row(app, "rest.location_hours", location_id=location, **columns)


def test_a_night_that_ends_tomorrow_says_so(app: Connection, location: UUID) -> None:
    assert row(
        app,
        "rest.location_hours",
        location_id=location,
        opens_time="18:00",
        closes_time="02:00",
        crosses_midnight=True,
    )


def test_a_weekday_has_one_row_a_mode(app: Connection, location: UUID) -> None:
    row(app, "rest.location_hours", location_id=location, service_mode="bar")
    row(app, "rest.location_hours", location_id=location, service_mode="dine_in")
    with pytest.raises(errors.UniqueViolation, match="location_hours_day_idx"):
        row(app, "rest.location_hours", location_id=location, service_mode="bar")


def test_a_location_has_one_default_plan(app: Connection, location: UUID) -> None:
    row(app, "rest.floor_plan", location_id=location, is_default=True)
    row(app, "rest.floor_plan", location_id=location, is_default=False)
    with pytest.raises(errors.UniqueViolation, match="floor_plan_default_idx"):
        row(app, "rest.floor_plan", location_id=location, is_default=True)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"min_covers": 0}, "seats_somebody"),
        ({"min_covers": 5, "max_covers": 4}, "covers_in_order"),
        ({"rotation_deg": 360}, "rotation_bounded"),
    ],
)
def test_a_table_is_possible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"dining_table_{truth}"):
        row(app, "rest.dining_table", **columns)


@pytest.mark.parametrize(("before", "after"), list(permutations(TABLE, 2)))
def test_a_table_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    table = row(app, "rest.dining_table", state=before, state_changed_at="2026-01-01")
    change = "UPDATE rest.dining_table SET state = %s WHERE dining_table_id = %s"
    if after not in TABLE[before]:
        with pytest.raises(errors.CheckViolation, match=f"{before}.*{after}"):
            app.execute(change, [after, table])
        return
    app.execute(change, [after, table])
    found = app.execute("SELECT state, state_changed_at = now() FROM rest.dining_table").fetchone()
    assert found == (after, True)
