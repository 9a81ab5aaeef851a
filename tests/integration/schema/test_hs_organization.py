"""An address leads to a zone, a day to its hours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def add_branch(connection: Connection, code: str = "MAIN") -> UUID:
    """A branch of the current tenant."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.branch (business_id, branch_code, name, address_line, city, postal_code,"
        " country_code, time_zone, opened_on) VALUES (tenant_mgmt.current_business_id(), %s,"
        " 'Office', '1 Main St', 'Chicago', '60601', 'US', 'America/Chicago', '2020-01-01')"
        " RETURNING branch_id",
        code,
    )
    return found


def add_unit(connection: Connection, branch: UUID, code: str = "HVAC") -> UUID:
    """A business unit of a branch."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.business_unit (business_id, branch_id, unit_code, name, trade)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, 'Heating', 'hvac')"
        " RETURNING business_unit_id",
        branch,
        code,
    )
    return found


def add_territory(connection: Connection, branch: UUID, code: str, rank: int = 1) -> UUID:
    """A zone of a branch."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.service_territory (business_id, branch_id, territory_code, name,"
        " priority_rank) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, %s)"
        " RETURNING service_territory_id",
        branch,
        code,
        code,
        rank,
    )
    return found


def serve(
    connection: Connection, zone: UUID, code: str, coverage: str, since: str = "-30 days"
) -> None:
    """Lets a zone serve a postal code since some days before or after today."""
    connection.execute(
        "INSERT INTO hs.territory_postal_code (business_id, service_territory_id, country_code,"
        " postal_code, coverage, effective_on) VALUES (tenant_mgmt.current_business_id(), %s,"
        " 'US', %s, %s, current_date + %s::interval)",
        [zone, code, coverage, since],
    )


def zone_of(connection: Connection, code: str) -> Any:
    return one(connection, "SELECT hs.territory_of('US', %s, current_date)", code)


@pytest.fixture
def branch(app: Connection) -> UUID:
    """A branch of the tenant."""
    return add_branch(app)


def test_an_address_belongs_to_its_primary_zone(app: Connection, branch: UUID) -> None:
    first, second = (add_territory(app, branch, code) for code in ("NORTH", "SOUTH"))
    serve(app, first, "60601", "overflow")
    serve(app, second, "60601", "primary")
    assert zone_of(app, "60601") == second


def test_overflow_is_taken_by_priority_where_nobody_is_primary(
    app: Connection, branch: UUID
) -> None:
    low, high = add_territory(app, branch, "LOW", 5), add_territory(app, branch, "HIGH", 1)
    serve(app, low, "60601", "overflow")
    serve(app, high, "60601", "overflow")
    assert zone_of(app, "60601") == high


@pytest.mark.parametrize("since", ["1 day", "0 days"])
def test_a_postal_code_is_served_from_its_first_day(
    app: Connection, branch: UUID, since: str
) -> None:
    zone = add_territory(app, branch, "NORTH")
    serve(app, zone, "60601", "primary", since)
    assert zone_of(app, "60601") == (zone if since == "0 days" else None)


def test_nobody_drives_to_an_excluded_or_unknown_address(app: Connection, branch: UUID) -> None:
    zone = add_territory(app, branch, "NORTH")
    serve(app, zone, "60601", "primary")
    serve(app, zone, "60601", "excluded")
    assert zone_of(app, "60601") is None
    assert zone_of(app, "99999") is None


def test_an_idle_zone_serves_nobody(app: Connection, branch: UUID) -> None:
    serve(app, add_territory(app, branch, "NORTH"), "60601", "primary")
    app.execute("UPDATE hs.service_territory SET is_active = false")
    assert zone_of(app, "60601") is None


def test_two_zones_are_not_primary_for_one_address(app: Connection, branch: UUID) -> None:
    serve(app, add_territory(app, branch, "NORTH"), "60601", "primary")
    with pytest.raises(errors.UniqueViolation, match="territory_postal_code_primary_idx"):
        serve(app, add_territory(app, branch, "SOUTH"), "60601", "primary")


def state_hours(connection: Connection, branch: UUID, **given: Any) -> None:
    """States hours of a branch; columns as given."""
    columns = {"weekday": 1, "opens_time": "07:00", "closes_time": "18:00", **given}
    connection.execute(
        "INSERT INTO hs.operating_hours (business_id, branch_id, service_territory_id, weekday,"
        " specific_on, opens_time, closes_time, is_closed) VALUES"
        " (tenant_mgmt.current_business_id(), %s, %s, %s, %s, %s, %s, %s)",
        [
            branch,
            columns.get("zone"),
            columns["weekday"],
            columns.get("specific_on"),
            columns["opens_time"],
            columns["closes_time"],
            columns.get("is_closed", False),
        ],
    )


def hours(connection: Connection, branch: UUID, zone: UUID | None, day: str) -> Any:
    return connection.execute(
        "SELECT opens_time::text, is_closed FROM hs.hours_on(%s, %s, %s::date, 'standard')",
        [branch, zone, day],
    ).fetchone()


def test_a_dated_row_overrides_the_weekday_and_the_zone_its_branch(
    app: Connection, branch: UUID
) -> None:
    zone = add_territory(app, branch, "NORTH")
    state_hours(app, branch)
    state_hours(app, branch, zone=zone, opens_time="09:00")
    state_hours(
        app,
        branch,
        weekday=None,
        specific_on="2026-01-12",
        is_closed=True,
        opens_time=None,
        closes_time=None,
    )
    assert hours(app, branch, None, "2026-01-05") == ("07:00:00", False), "a Monday"
    assert hours(app, branch, zone, "2026-01-05") == ("09:00:00", False)
    assert hours(app, branch, zone, "2026-01-12") == (None, True), "a holiday"
    assert hours(app, branch, zone, "2026-01-06") is None, "nothing is stated for Tuesdays"


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"specific_on": "2026-01-05"}, "operating_hours_of_one_day"),
        ({"weekday": None}, "operating_hours_of_one_day"),
        ({"weekday": 0}, "operating_hours_weekday_iso"),
        ({"weekday": 8}, "operating_hours_weekday_iso"),
        ({"closes_time": "07:00"}, "operating_hours_close_after_opening"),
        ({"closes_time": None}, "operating_hours_open_has_times"),
    ],
)
def test_hours_are_whole(app: Connection, branch: UUID, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        state_hours(app, branch, **given)


def test_hours_of_a_zone_stand_under_its_branch(app: Connection, branch: UUID) -> None:
    zone = add_territory(app, branch, "NORTH")
    with pytest.raises(errors.CheckViolation, match="belongs to another branch"):
        state_hours(app, add_branch(app, "OTHER"), zone=zone)


def test_a_licensed_unit_says_when_its_license_ends(app: Connection, branch: UUID) -> None:
    add_unit(app, branch)
    with pytest.raises(errors.CheckViolation, match="business_unit_license_expires"):
        app.execute("UPDATE hs.business_unit SET license_number = 'X-1'")
