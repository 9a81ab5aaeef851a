"""VINs prove themselves; odometers that run back are not believed; one build is found or none."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

CIVIC = {
    "base_vehicle_code": 11023,
    "model_year": 2023,
    "make_name": "Honda",
    "model_name": "Civic",
    "engine_code": "I4-20",
    "drive_kind": "fwd",
}
VIN = "1HGCM82633A004352"


def read(app: Connection, vehicle: UUID, odometer: int, at: str, **given: Any) -> UUID:
    """A reading at check-in."""
    columns = {"source": "check_in", **given}
    return row(
        app, "auto.odometer_reading", vehicle_id=vehicle, odometer=odometer, read_at=at, **columns
    )


def hold(app: Connection, vehicle: UUID, starts: str, ends: str | None, **given: Any) -> UUID:
    """Somebody holds the vehicle from a day to another."""
    return row(
        app, "auto.vehicle_ownership", vehicle_id=vehicle, starts_on=starts, ends_on=ends, **given
    )


def decode(app: Connection, vehicle: UUID, answer: dict[str, Any]) -> UUID:
    """What a decoder answered about a vehicle."""
    return row(
        app,
        "auto.vin_decode",
        vehicle_id=vehicle,
        vin_submitted=VIN,
        response_document=Jsonb(answer),
    )


def apply(app: Connection, decoded: UUID) -> tuple[Any, ...] | None:
    """Applies the decode; what it says afterwards."""
    app.execute("SELECT auto.apply_vin_decode(%s)", [decoded])
    return app.execute(
        "SELECT ambiguity_count, matched_vehicle_configuration_id FROM auto.vin_decode"
        " WHERE vin_decode_id = %s",
        [decoded],
    ).fetchone()


@pytest.mark.parametrize(
    ("vin", "valid"),
    [
        ("1M8GDM9AXKP042788", True),
        ("1HGCM82633A004352", True),
        ("11111111111111111", True),
        ("5YJSA1DG9DFP14705", True),
        ("1HGCM82643A004352", False),
        ("1HGCM82633A00435", False),
        ("1HGCM82633AOO4352", False),
    ],
)
def test_a_vin_proves_itself_by_its_check_digit(app: Connection, vin: str, valid: bool) -> None:
    assert one(app, "SELECT auto.vin_check_digit(%s)", vin) is valid


@pytest.mark.parametrize(("vin", "valid"), [(VIN, True), ("1HGCM82643A004352", False)])
def test_a_vehicle_says_whether_its_vin_is_right(app: Connection, vin: str, valid: bool) -> None:
    vehicle = row(app, "auto.vehicle", vin=vin)
    found = "SELECT is_vin_check_valid FROM auto.vehicle WHERE vehicle_id = %s"
    assert one(app, found, vehicle) is valid


def test_a_vin_has_no_letter_o(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="vehicle_vin_well_formed"):
        row(app, "auto.vehicle", vin="1HGCM82633AOO4352")


def test_a_vin_is_one_vehicle(app: Connection) -> None:
    row(app, "auto.vehicle", vin=VIN)
    with pytest.raises(errors.UniqueViolation, match="vehicle_vin_idx"):
        row(app, "auto.vehicle", vin=VIN)


def test_the_vehicle_follows_believed_readings_only(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle", current_odometer=0)
    read(app, vehicle, 50_000, "2026-01-01 12:00+00")
    read(app, vehicle, 49_000, "2026-02-01 12:00+00")
    read(app, vehicle, 990_000, "2026-02-02 12:00+00")
    found = app.execute(
        "SELECT suspect_reason FROM auto.odometer_reading WHERE vehicle_id = %s ORDER BY read_at",
        [vehicle],
    ).fetchall()
    assert [reason for (reason,) in found] == [None, "rollback", "jump"]
    current = "SELECT current_odometer FROM auto.vehicle WHERE vehicle_id = %s"
    assert one(app, current, vehicle) == 50_000


def test_an_odometer_goes_back_with_a_new_cluster_only(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle", current_odometer=50_000)
    back = "UPDATE auto.vehicle SET current_odometer = 120 WHERE vehicle_id = %s"
    with pytest.raises(errors.CheckViolation, match="cannot show 120"), app.transaction():
        app.execute(back, [vehicle])
    reason = {"is_suspect": True, "suspect_reason": "cluster_replaced"}
    read(app, vehicle, 120, "2026-02-01 12:00+00", **reason)
    app.execute(back, [vehicle])


def test_a_vehicle_has_one_holder_at_a_time(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    hold(app, vehicle, "2024-01-01", "2024-12-31")
    hold(app, vehicle, "2025-01-01", None, relation="lessee")
    hold(app, vehicle, "2025-01-01", None, relation="driver")
    with pytest.raises(errors.ExclusionViolation, match="one_holder"):
        hold(app, vehicle, "2024-12-31", "2024-12-31")


def test_a_unit_is_of_a_fleet(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="fleet_unit_has_fleet"):
        hold(app, row(app, "auto.vehicle"), "2024-01-01", None, relation="fleet_unit")


def test_a_choice_between_builds_is_confirmed(app: Connection) -> None:
    build = row(app, "auto.vehicle_configuration", **CIVIC)
    with pytest.raises(errors.CheckViolation, match="choice_is_confirmed"):
        row(app, "auto.vin_decode", ambiguity_count=2, matched_vehicle_configuration_id=build)


def test_a_decode_links_the_only_build_that_agrees(app: Connection) -> None:
    build = row(app, "auto.vehicle_configuration", **CIVIC)
    row(app, "auto.vehicle_configuration", **{**CIVIC, "engine_code": "I4-15T"})
    vehicle = row(app, "auto.vehicle", vin=None)
    answer = {"model_year": 2023, "make": "HONDA", "model": "Civic", "engine_code": "I4-20"}
    assert apply(app, decode(app, vehicle, answer)) == (1, build)
    found = app.execute(
        "SELECT vehicle_configuration_id, vin FROM auto.vehicle WHERE vehicle_id = %s", [vehicle]
    ).fetchone()
    assert found == (build, VIN)


def test_a_decode_leaves_the_choice_between_several_builds(app: Connection) -> None:
    row(app, "auto.vehicle_configuration", **CIVIC)
    row(app, "auto.vehicle_configuration", **{**CIVIC, "engine_code": "I4-15T"})
    vehicle = row(app, "auto.vehicle", vin=None)
    answer = {"model_year": 2023, "make": "Honda", "model": "Civic"}
    assert apply(app, decode(app, vehicle, answer)) == (2, None)
    build = "SELECT vehicle_configuration_id FROM auto.vehicle WHERE vehicle_id = %s"
    assert one(app, build, vehicle) is None


def test_a_decode_may_find_no_build(app: Connection) -> None:
    answer = {"model_year": 1999, "make": "Saab", "model": "9-3"}
    assert apply(app, decode(app, row(app, "auto.vehicle", vin=None), answer)) == (0, None)


def test_a_decode_without_a_vehicle_is_not_applied(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="no decode of a vehicle"):
        apply(app, row(app, "auto.vin_decode", vin_submitted=VIN))
