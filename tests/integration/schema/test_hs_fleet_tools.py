"""Unsafe trucks stay off the road, tools are lent in calibration, trucks are filled up."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_inventory import (
    add_item,
    add_place,
    add_truck,
    move,
    moves,
)
from tests.integration.schema.test_hs_organization import add_branch, one
from tests.integration.schema.test_hs_workforce import add_technician

TRUCK = {
    "in_service": {"in_shop", "spare", "sold"},
    "in_shop": {"in_service", "spare", "sold"},
    "spare": {"in_service", "in_shop", "sold"},
    "sold": set(),
}
MAINTENANCE = {
    "due": {"scheduled", "in_shop", "done", "waived"},
    "scheduled": {"due", "in_shop", "done", "waived"},
    "in_shop": {"done", "scheduled"},
    "done": set(),
    "waived": set(),
}
TOOL = {
    "available": {"checked_out", "in_calibration", "lost", "retired"},
    "checked_out": {"available", "in_calibration", "lost"},
    "in_calibration": {"available", "retired"},
    "lost": {"available", "retired"},
    "retired": set(),
}


def assign(
    connection: Connection,
    truck: UUID,
    technician: UUID,
    begin: str = "now",
    end: str | None = None,
) -> None:
    connection.execute(
        "INSERT INTO hs.truck_assignment (business_id, truck_id, technician_id, starts_at,"
        " ends_at, odometer_start_mi) VALUES (tenant_mgmt.current_business_id(), %s, %s,"
        " %s::timestamptz, %s::timestamptz, 100)",
        [truck, technician, begin, end],
    )


def inspect(connection: Connection, truck: UUID, technician: UUID, **given: Any) -> None:
    """Reports on a truck; columns as given."""
    columns = {"kind": "post_trip", "result": "satisfactory", "odometer": 100, "ago": 0, **given}
    connection.execute(
        "INSERT INTO hs.truck_inspection (business_id, truck_id, inspector_technician_id,"
        " inspection_kind, inspected_at, inspected_on, odometer_mi, result, is_safe_to_operate,"
        " note_text) SELECT tenant_mgmt.current_business_id(), %s, %s, %s, t.moment,"
        " (t.moment AT TIME ZONE 'UTC')::date, %s, %s, %s, 'As seen'"
        " FROM (SELECT now() - make_interval(hours => %s) AS moment) AS t",
        [
            truck,
            technician,
            columns["kind"],
            columns["odometer"],
            columns["result"],
            columns["result"] != "out_of_service",
            columns["ago"],
        ],
    )


def truck_is(connection: Connection) -> Any:
    return connection.execute("SELECT status, odometer_mi FROM hs.truck").fetchone()


@pytest.fixture
def truck(app: Connection) -> UUID:
    """A truck in service."""
    return add_truck(app)


@pytest.fixture
def technician(app: Connection, truck: UUID) -> UUID:
    """A technician of the truck's branch."""
    assert truck
    return add_technician(app)


@pytest.mark.parametrize("status", ["in_shop", "sold"])
def test_a_truck_out_of_service_is_not_assigned(
    app: Connection, truck: UUID, technician: UUID, status: str
) -> None:
    app.execute("UPDATE hs.truck SET status = %s", [status])
    assign(app, truck, technician, "2026-01-01", "2026-02-01")
    with pytest.raises(errors.CheckViolation, match=r"U001 is out of service"):
        assign(app, truck, technician)


@pytest.mark.parametrize("status", ["in_service", "spare"])
def test_a_truck_on_the_road_has_one_driver(
    app: Connection, truck: UUID, technician: UUID, status: str
) -> None:
    app.execute("UPDATE hs.truck SET status = %s", [status])
    assign(app, truck, technician, "2026-01-01", "2026-02-01")
    assign(app, truck, technician, "2026-02-01")
    with pytest.raises(errors.ExclusionViolation, match="truck_assignment_one_driver"):
        assign(app, truck, add_technician(app, "T2"))


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("ends_at = starts_at", "ends_after_start"),
        ("ends_at = starts_at + interval '1 day', odometer_end_mi = 99", "odometer_forward"),
        ("odometer_end_mi = 101", "odometer_ends_with_it"),
        ("handover_condition = 'damage_noted'", "damage_is_told"),
    ],
)
def test_an_assignment_is_whole(
    app: Connection, truck: UUID, technician: UUID, change: str, truth: str
) -> None:
    assign(app, truck, technician)
    with pytest.raises(errors.CheckViolation, match=f"truck_assignment_{truth}"):
        app.execute(f"UPDATE hs.truck_assignment SET {change}".encode())


def test_an_odometer_never_decreases(app: Connection, truck: UUID) -> None:
    for reading in (100, 100, 101):
        app.execute("UPDATE hs.truck SET odometer_mi = %s", [reading])
    with pytest.raises(errors.CheckViolation, match="odometer stood at 101"):
        app.execute("UPDATE hs.truck SET odometer_mi = 100.5 WHERE truck_id = %s", [truck])


def test_a_report_moves_the_odometer_forward_only(
    app: Connection, truck: UUID, technician: UUID
) -> None:
    inspect(app, truck, technician, odometer=250)
    inspect(app, truck, technician, odometer=240)
    assert truck_is(app) == ("in_service", 250)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ("satisfactory", "in_service"),
        ("defects_noted", "in_service"),
        ("out_of_service", "in_shop"),
    ],
)
def test_an_unsafe_truck_goes_to_the_shop(
    app: Connection, truck: UUID, technician: UUID, result: str, status: str
) -> None:
    inspect(app, truck, technician, result=result)
    assert truck_is(app) == (status, 100)


def test_a_truck_returns_when_its_repair_is_certified(
    app: Connection, truck: UUID, technician: UUID
) -> None:
    inspect(app, truck, technician, result="out_of_service", ago=2)
    with pytest.raises(errors.CheckViolation, match="nobody certified"), app.transaction():
        app.execute("UPDATE hs.truck SET status = 'in_service'")
    with app.transaction(force_rollback=True):
        inspect(app, truck, technician, ago=1)
        app.execute("UPDATE hs.truck SET status = 'in_service'")
    app.execute(
        "UPDATE hs.truck_inspection SET certified_by_name = 'Sam Rivera', certified_at = now()"
    )
    app.execute("UPDATE hs.truck SET status = 'in_service'")


def test_imported_reports_leave_the_truck_where_it_is(
    app: Connection, tenant: UUID, truck: UUID, technician: UUID
) -> None:
    app.execute("RESET ROLE")
    app.execute(
        "INSERT INTO hs.truck_inspection (business_id, truck_id, inspector_technician_id,"
        " inspection_kind, inspected_on, odometer_mi, result, is_safe_to_operate, note_text)"
        " VALUES (%s, %s, %s, 'annual', (now() AT TIME ZONE 'UTC')::date, 90, 'out_of_service',"
        " false, 'Brakes')",
        [tenant, truck, technician],
    )
    assert truck_is(app) == ("in_service", 90)


def test_one_report_before_the_trip_a_day(app: Connection, truck: UUID, technician: UUID) -> None:
    inspect(app, truck, technician, kind="pre_trip", ago=24)
    inspect(app, truck, technician, kind="pre_trip")
    inspect(app, truck, technician, kind="post_trip")
    with pytest.raises(errors.UniqueViolation, match="pre_trip_idx"):
        inspect(app, truck, technician, kind="pre_trip")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("result = 'out_of_service'", "out_of_service_is_unsafe"),
        ("is_safe_to_operate = false", "satisfactory_is_safe"),
        ("result = 'defects_noted', note_text = NULL", "defects_are_told"),
        ("certified_at = now()", "certified_by_somebody"),
        (
            "certified_at = inspected_at - interval '1 hour', certified_by_name = 'Sam'",
            "certified_after",
        ),
        ("inspected_on = inspected_on + 2", "day_of_its_time"),
    ],
)
def test_a_report_is_whole(
    app: Connection, truck: UUID, technician: UUID, change: str, truth: str
) -> None:
    inspect(app, truck, technician)
    with pytest.raises(errors.CheckViolation, match=f"truck_inspection_{truth}"):
        app.execute(f"UPDATE hs.truck_inspection SET {change}".encode())


def test_the_stock_of_a_truck_is_at_its_branch(app: Connection, truck: UUID) -> None:
    place = add_place(app, "TRK-1", truck)
    other = add_branch(app, "NORTH")
    of_place = "SELECT branch_id FROM hs.stock_location WHERE stock_location_id = %s"
    app.execute("UPDATE hs.stock_location SET branch_id = %s", [other])
    assert one(app, of_place, place) != other
    app.execute("UPDATE hs.truck SET branch_id = %s", [other])
    assert one(app, of_place, place) == other


def test_a_truck_has_one_place(app: Connection, truck: UUID) -> None:
    add_place(app, "TRK-1", truck)
    with pytest.raises(errors.UniqueViolation, match="stock_location_truck_idx"):
        add_place(app, "TRK-2", truck)


def add_tool(connection: Connection, due: str | None = None) -> UUID:
    """A meter that is to be calibrated at a day, or never."""
    branch = one(connection, "SELECT branch_id FROM hs.branch")
    found: UUID = one(
        connection,
        "INSERT INTO hs.tool_asset (business_id, branch_id, asset_number, name, tool_kind,"
        " purchased_on, calibration_interval_days, calibration_due_on)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'A1', 'Meter', 'meter', '2025-01-01',"
        " CASE WHEN %s::text IS NOT NULL THEN 365 END, current_date + %s::interval)"
        " RETURNING tool_asset_id",
        branch,
        due,
        due,
    )
    return found


def lend(connection: Connection, technician: UUID) -> None:
    connection.execute(
        "UPDATE hs.tool_asset SET status = 'checked_out', holder_technician_id = %s", [technician]
    )


@pytest.mark.parametrize("due", [None, "0 days", "30 days"])
def test_a_tool_is_lent_in_calibration(app: Connection, technician: UUID, due: str | None) -> None:
    add_tool(app, due)
    lend(app, technician)
    assert one(app, "SELECT holder_technician_id FROM hs.tool_asset") == technician


def test_a_tool_whose_calibration_lapsed_is_not_lent(app: Connection, technician: UUID) -> None:
    add_tool(app, "-1 day")
    with pytest.raises(errors.CheckViolation, match="calibration of tool A1 lapsed"):
        lend(app, technician)


@pytest.mark.usefixtures("truck")
@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("status = 'checked_out'", "held_while_checked_out"),
        ("status = 'retired'", "retired_has_day"),
        ("status = 'retired', retired_on = '2024-01-01'", "retired_after_purchase"),
        ("calibration_due_on = NULL", "calibrated_has_due"),
        ("calibration_interval_days = 0", "interval_positive"),
    ],
)
def test_a_tool_is_whole(app: Connection, change: str, truth: str) -> None:
    add_tool(app, "30 days")
    with pytest.raises(errors.CheckViolation, match=f"tool_asset_{truth}"):
        app.execute(f"UPDATE hs.tool_asset SET {change}".encode())


def test_trucks_tools_and_service_go_only_through_their_states(
    app: Connection, truck: UUID, technician: UUID
) -> None:
    add_tool(app)
    app.execute(
        "INSERT INTO hs.truck_maintenance (business_id, truck_id, service_kind, due_on)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'tires', '2026-03-01')",
        [truck],
    )
    nobody, undone = "holder_technician_id = NULL", "performed_on = NULL, odometer_mi = NULL"
    kept = "retired_on = NULL"
    tool = dict.fromkeys(TOOL, f"{nobody}, {kept}") | {
        "checked_out": f"holder_technician_id = '{technician}', {kept}",
        "retired": f"{nobody}, retired_on = '2026-01-01'",
    }
    service = dict.fromkeys(MAINTENANCE, undone) | {
        "done": "performed_on = '2026-03-02', odometer_mi = 500"
    }
    for table, transitions, shape in (
        ("truck", TRUCK, {}),
        ("truck_maintenance", MAINTENANCE, service),
        ("tool_asset", TOOL, tool),
    ):
        for before in transitions:
            for after in transitions.keys() - {before}:
                found = moves(app, f"hs.{table}", shape, before, after)
                assert found == (after in transitions[before]), (table, before, after)


# What a truck needs.


@pytest.fixture
def stocked(app: Connection, truck: UUID, technician: UUID) -> tuple[UUID, UUID, UUID]:
    """Two of an item on a truck that should have three to six, ten on the shelf."""
    item, van, shelf = add_item(app), add_place(app, "TRK-1", truck), add_place(app, "WH-1")
    move(app, item, "opening", 2, target=van)
    move(app, item, "opening", 10, target=shelf)
    app.execute(
        "UPDATE hs.stock_balance SET min_qty = 3, max_qty = 6 WHERE stock_location_id = %s", [van]
    )
    assign(app, truck, technician)
    return item, van, shelf


def needs(connection: Connection) -> Any:
    return connection.execute(
        "SELECT needed_qty, source_name, source_available_qty, technician_id IS NOT NULL"
        " FROM hs.v_truck_restock_need"
    ).fetchall()


def test_a_truck_below_its_minimum_is_filled_up_from_a_warehouse(
    app: Connection, stocked: tuple[UUID, UUID, UUID]
) -> None:
    assert needs(app) == [(4, "WH-1", 10, True)]
    app.execute("UPDATE hs.stock_balance SET min_qty = 2")
    assert needs(app) == [], stocked


def test_what_is_in_transit_is_no_longer_needed(
    app: Connection, stocked: tuple[UUID, UUID, UUID]
) -> None:
    item, van, shelf = stocked
    transfer = one(
        app,
        "INSERT INTO hs.stock_transfer (business_id, from_location_id, to_location_id,"
        " transfer_number) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'TR-1')"
        " RETURNING stock_transfer_id",
        shelf,
        van,
    )
    app.execute(
        "INSERT INTO hs.stock_transfer_line (business_id, stock_transfer_id, stock_item_id,"
        " line_no, requested_qty, picked_qty)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, 1, 1, 1)",
        [transfer, item],
    )
    app.execute("UPDATE hs.stock_transfer SET status = 'picking'")
    assert needs(app) == [(4, "WH-1", 10, True)], "nothing has left yet"
    app.execute("UPDATE hs.stock_transfer SET status = 'in_transit', shipped_at = now()")
    assert needs(app) == []


def test_the_warehouse_of_the_own_branch_comes_first(
    app: Connection, stocked: tuple[UUID, UUID, UUID]
) -> None:
    item, _, shelf = stocked
    far = add_place(app, "WH-2")
    app.execute(
        "UPDATE hs.stock_location SET branch_id = %s WHERE stock_location_id = %s",
        [add_branch(app, "NORTH"), far],
    )
    move(app, item, "opening", 50, target=far)
    assert needs(app) == [(4, "WH-1", 10, True)]
    move(app, item, "issue", 10, shelf)
    assert needs(app) == [(4, "WH-2", 50, True)]
    move(app, item, "issue", 50, far)
    assert needs(app) == [(4, None, None, True)]
