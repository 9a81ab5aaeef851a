"""A tire is found again by its number; a stored set lies where it was moved last."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_hs_organization import one

SET: dict[str, set[str]] = {
    "mounted": {"stored", "in_transit", "sold", "scrapped"},
    "stored": {"mounted", "in_transit", "sold", "scrapped"},
    "in_transit": {"mounted", "stored", "sold", "scrapped"},
    "sold": set(),
    "scrapped": set(),
}
REGISTRATION: dict[str, set[str]] = {
    "pending": {"submitted", "form_handed_over"},
    "submitted": {"accepted", "rejected"},
    "rejected": {"submitted"},
    "accepted": set(),
    "form_handed_over": set(),
}
CONTRACT: dict[str, set[str]] = {
    "quoted": {"active", "ended"},
    "active": {"retrieved", "overdue"},
    "overdue": {"retrieved", "abandoned"},
    "retrieved": {"active", "ended"},
    "abandoned": {"ended"},
    "ended": set(),
}
TOLD = {"submitted_on": "2026-05-05", "rejected_reason": "unreadable", "method": "paper_form_given"}


def moves(app: Connection, statement: str, allowed: bool) -> None:
    if allowed:
        app.execute(statement.encode())
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(statement.encode())


@pytest.mark.parametrize(("before", "after"), list(permutations(SET, 2)))
def test_a_set_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    rack = row(app, "auto.stock_location")
    place = rack if before == "stored" else None
    imported(app, "auto.tire_set", fitment_state=before, stored_location_id=place)
    new = f"'{rack}'" if after == "stored" else "NULL"
    moves(app, f"UPDATE auto.tire_set SET fitment_state = '{after}', stored_location_id = {new}",
          after in SET[before])  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(permutations(REGISTRATION, 2)))
def test_a_registration_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    tire = row(app, "auto.tire")
    imported(app, "auto.tire_registration", tire_id=tire, status=before, **TOLD)
    moves(app, f"UPDATE auto.tire_registration SET status = '{after}'",
          after in REGISTRATION[before])  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(permutations(CONTRACT, 2)))
def test_a_storage_contract_goes_through_its_states(
    app: Connection, before: str, after: str
) -> None:
    imported(app, "auto.tire_storage_contract", status=before, abandoned_notice_on="2026-05-04")
    moves(app, f"UPDATE auto.tire_storage_contract SET status = '{after}'",
          after in CONTRACT[before])  # fmt: skip


def test_a_vehicle_rolls_on_one_set(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    row(app, "auto.tire_set", vehicle_id=vehicle)
    row(app, "auto.tire_set", vehicle_id=vehicle, fitment_state="in_transit")
    with pytest.raises(errors.UniqueViolation, match="tire_set_mounted_idx"):
        row(app, "auto.tire_set", vehicle_id=vehicle)


@pytest.mark.parametrize(("rear", "staggered"), [(None, False), ("225/45R17", False),
                                                 ("255/40R17", True)])  # fmt: skip
def test_a_set_with_wider_rear_tires_is_staggered(
    app: Connection, rear: str | None, staggered: bool
) -> None:
    row(app, "auto.tire_set", rear_size_text=rear)
    assert one(app, "SELECT is_staggered FROM auto.tire_set") is staggered


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        ({"size_text": "17 inch"}, "tire_set_size_shape"),
        ({"torque_ftlb": 9}, "tire_set_torque_plausible"),
        ({"mounted_odometer": 100, "rotation_due_odometer": 100}, "tire_set_rotation_later"),
        ({"fitment_state": "stored"}, "tire_set_stored_lies_somewhere"),
    ],
)
def test_a_set_makes_sense(app: Connection, given: dict[str, Any], broken: str) -> None:
    with pytest.raises(errors.CheckViolation, match=broken):
        row(app, "auto.tire_set", **given)


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        ({"tin_code": "DOTX1A0024"}, "tire_tin_shape"),
        ({"tin_code": "DOTX1A5424"}, "tire_tin_shape"),
        ({"tin_code": "1224"}, "tire_tin_shape"),
        ({"tread_new_mm": 8, "tread_inner_mm": 9}, "tire_tread_within_new"),
        ({"load_index": 20}, "tire_load_plausible"),
    ],
)
def test_a_tire_makes_sense(app: Connection, given: dict[str, Any], broken: str) -> None:
    with pytest.raises(errors.CheckViolation, match=broken):
        row(app, "auto.tire", **given)


def test_a_wheel_carries_one_tire(app: Connection) -> None:
    mounted = row(app, "auto.tire_set")
    row(app, "auto.tire", tire_set_id=mounted, wheel_position="lf", status="scrapped")
    row(app, "auto.tire", tire_set_id=mounted, wheel_position="lf")
    with pytest.raises(errors.UniqueViolation, match="tire_wheel_idx"):
        row(app, "auto.tire", tire_set_id=mounted, wheel_position="lf")


def sold(app: Connection, condition: str, number: str) -> UUID:
    line = imported(app, "auto.part_line", part_condition=condition)
    return row(app, "auto.tire", sold_part_line_id=line, tin_code=number)


def test_a_tire_of_ten_years_is_not_sold_as_new(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="not sold as new"), app.transaction():
        sold(app, "new", "DOTX1A1212")
    assert sold(app, "used", "DOTX1A1212")
    assert sold(app, "new", "DOTX1A1224")


def test_the_number_of_the_tire_is_registered(app: Connection) -> None:
    tire = row(app, "auto.tire", tin_code="DOTX1A1224")
    with pytest.raises(errors.CheckViolation, match="carries DOTX1A1224, not DOTX1A1225"):
        row(app, "auto.tire_registration", tire_id=tire, tin_code="DOTX1A1225")


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        ({"submitted_on": "2026-05-03"}, "submitted_after_sale"),
        ({"status": "submitted"}, "submitted_has_date"),
        ({"due_on": "2026-12-01"}, "due_within_six_months"),
        ({"status": "rejected", "submitted_on": "2026-05-05"}, "rejected_is_told"),
        ({"status": "form_handed_over"}, "form_is_handed_over"),
    ],
)
def test_a_registration_makes_sense(app: Connection, given: dict[str, Any], broken: str) -> None:
    with pytest.raises(errors.CheckViolation, match=broken):
        imported(app, "auto.tire_registration", tire_id=row(app, "auto.tire"), **given)


def test_a_set_is_stored_once_a_season(app: Connection) -> None:
    stored = row(app, "auto.tire_set")
    row(app, "auto.tire_storage_contract", tire_set_id=stored)
    row(app, "auto.tire_storage_contract", tire_set_id=stored,
        starts_on="2026-10-01", ends_on="2027-04-01")  # fmt: skip
    with pytest.raises(errors.ExclusionViolation, match="one_a_season"):
        row(app, "auto.tire_storage_contract", tire_set_id=stored,
            starts_on="2026-09-30", ends_on="2026-11-01")  # fmt: skip


@pytest.mark.parametrize(("told", "abandoned"), [(-31, True), (-30, True), (-29, False)])
def test_a_set_is_abandoned_thirty_days_after_the_notice(
    app: Connection, told: int, abandoned: bool
) -> None:
    imported(app, "auto.tire_storage_contract", status="overdue")
    leave = (
        "UPDATE auto.tire_storage_contract SET status = 'abandoned',"
        f" abandoned_notice_on = tenant_mgmt.today() + {told}"
    )
    if abandoned:
        app.execute(leave.encode())
    else:
        with pytest.raises(errors.CheckViolation, match="theirs for thirty days"):
            app.execute(leave.encode())


def test_a_set_lies_where_it_was_moved_last(app: Connection) -> None:
    stored, (first, second) = row(app, "auto.tire_set"), racks(app)
    for kind, origin, target, state, place in [
        ("check_in", None, first, "stored", first),
        ("rerack", first, second, "stored", second),
        ("inventory_scan", None, None, "stored", second),
        ("pick_for_changeover", second, None, "in_transit", None),
    ]:
        row(app, "auto.tire_storage_movement", tire_set_id=stored, movement_kind=kind,
            from_location_id=origin, to_location_id=target)  # fmt: skip
        found = app.execute("SELECT fitment_state, stored_location_id FROM auto.tire_set")
        assert found.fetchone() == (state, place)


def racks(app: Connection) -> list[UUID]:
    return [row(app, "auto.stock_location") for _ in range(2)]


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("check_in", "in_goes_to_a_rack"),
        ("rerack", "goes_to_a_rack|comes_from_a_rack"),
        ("check_out", "out_comes_from_a_rack"),
        ("pick_for_changeover", "out_comes_from_a_rack"),
    ],
)
def test_a_movement_names_its_racks(app: Connection, kind: str, broken: str) -> None:
    with pytest.raises(errors.CheckViolation, match=broken):
        row(app, "auto.tire_storage_movement", movement_kind=kind)


@pytest.mark.parametrize("change", ["UPDATE {} SET photo_count = 9", "DELETE FROM {}"])
def test_a_movement_stands(app: Connection, change: str) -> None:
    row(app, "auto.tire_storage_movement")
    app.execute("RESET ROLE")
    with pytest.raises(errors.DatabaseError, match="append"):
        app.execute(change.format("auto.tire_storage_movement").encode())
