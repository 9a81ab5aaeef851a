"""High voltage is off before anybody touches it; sensors see straight before a car leaves."""

from __future__ import annotations

from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

POWER_DOWN: dict[str, set[str]] = {
    "planned": {"isolated", "aborted"},
    "isolated": {"verified", "aborted"},
    "verified": {"re_energized"},
    "re_energized": set(),
    "aborted": set(),
}
WAYS = {
    "planned": [],
    "isolated": ["isolated"],
    "verified": ["isolated", "verified"],
    "re_energized": ["isolated", "verified", "re_energized"],
    "aborted": ["aborted"],
}
PAIRS = [(source, target) for source in POWER_DOWN for target in POWER_DOWN if source != target]
SPECIFICATION = {"toe_fl": [-0.1, 0.1]}


def power_down(app: Connection) -> UUID:
    """A planned lock-out whose times and persons are told."""
    return row(
        app,
        "auto.hv_power_down",
        verified_by_technician_id=row(app, "auto.technician"),
        service_plug_removed_at="2026-05-04 10:05+00",
        verified_zero_at="2026-05-04 10:20+00",
        re_energized_at="2026-05-04 12:00+00",
        measured_v=0.4,
    )


def move(app: Connection, lock: UUID, status: str) -> None:
    app.execute(
        "UPDATE auto.hv_power_down SET status = %s WHERE hv_power_down_id = %s", [status, lock]
    )


def sensor(app: Connection, vehicle: UUID, state: str = "calibrated") -> UUID:
    """A front camera of the vehicle."""
    return row(
        app,
        "auto.adas_sensor",
        vehicle_id=vehicle,
        sensor_kind="front_camera",
        position="windshield",
        calibration_state=state,
        last_calibrated_on="2026-01-01",
        requirement_reason="alignment",
    )


def state(app: Connection, of_sensor: UUID) -> object:
    found = "SELECT calibration_state FROM auto.adas_sensor WHERE adas_sensor_id = %s"
    return one(app, found, of_sensor)


@pytest.mark.parametrize(("kohm", "result"), [(199, "fail"), (200, "pass"), (None, "pass")])
def test_an_isolation_below_500_ohm_a_volt_fails(
    app: Connection, kohm: int | None, result: str
) -> None:
    pack = row(app, "auto.hv_battery_pack", nominal_v=400)
    test = row(
        app, "auto.hv_battery_test", hv_battery_pack_id=pack, isolation_kohm=kohm, result="pass"
    )
    found = "SELECT result FROM auto.hv_battery_test WHERE hv_battery_test_id = %s"
    assert one(app, found, test) == result


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_lock_out_goes_its_way(app: Connection, source: str, target: str) -> None:
    lock = power_down(app)
    for step in WAYS[source]:
        move(app, lock, step)
    if target in POWER_DOWN[source]:
        move(app, lock, target)
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            move(app, lock, target)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("service_plug_removed_at = '2026-05-04 09:00+00'", "moves_in_order"),
        ("re_energized_at = '2026-05-04 10:10+00'", "moves_in_order"),
        ("verified_zero_at = '2026-05-04 10:14+00'", "waited"),
        ("measured_v = 60", "zero_is_measured"),
        ("verified_by_technician_id = isolated_by_technician_id", "second_person"),
        ("glove_test_expires_on = '2026-05-03'", "gloves_in_test"),
    ],
)
def test_a_lock_out_keeps_its_order(app: Connection, change: str, rule: str) -> None:
    lock = power_down(app)
    with pytest.raises(errors.CheckViolation, match=rule):
        app.execute(f"UPDATE auto.hv_power_down SET {change} WHERE hv_power_down_id = %s", [lock])


@pytest.mark.parametrize(
    ("readings", "inside"),
    [({"toe_fl": 0.05}, True), ({"toe_fl": 0.1}, True), ({"toe_fl": 0.11}, False), ({}, False)],
)
def test_every_angle_is_read_and_inside(
    app: Connection, readings: dict[str, float], inside: bool
) -> None:
    found = app.execute(
        "SELECT auto.is_inside_specification(%s, %s)", [Jsonb(readings), Jsonb(SPECIFICATION)]
    ).fetchone()
    assert found == (inside,)


def test_a_good_alignment_is_inside(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="good_is_inside"):
        row(app, "auto.wheel_alignment", specification=Jsonb(SPECIFICATION), result="adjusted")


@pytest.mark.parametrize(("required", "after"), [(True, "required"), (False, "calibrated")])
def test_an_alignment_asks_for_calibration(app: Connection, required: bool, after: str) -> None:
    vehicle = row(app, "auto.vehicle")
    camera = sensor(app, vehicle)
    row(app, "auto.wheel_alignment", vehicle_id=vehicle, requires_adas_calibration=required)
    assert state(app, camera) == after


def test_a_calibration_passes_after_a_scan_only(app: Connection) -> None:
    camera = sensor(app, row(app, "auto.vehicle"), "required")
    passed = {"result": "pass", "completed_at": "2026-05-04 11:00+00", "adas_sensor_id": camera}
    with pytest.raises(errors.CheckViolation, match="no scan after"), app.transaction():
        row(app, "auto.adas_calibration", **passed)
    scan = row(app, "auto.diagnostic_session")
    row(app, "auto.adas_calibration", post_scan_session_id=scan, **passed)
    assert state(app, camera) == "calibrated"


@pytest.mark.parametrize(("result", "after"), [("fail", "failed"), ("aborted", "calibrated")])
def test_a_calibration_that_failed_marks_its_sensor(
    app: Connection, result: str, after: str
) -> None:
    camera = sensor(app, row(app, "auto.vehicle"))
    row(app, "auto.adas_calibration", adas_sensor_id=camera, result=result)
    assert state(app, camera) == after


def test_a_pack_in_quarantine_closes_its_bay(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    bay = row(app, "auto.bay")
    row(app, "auto.repair_order", vehicle_id=vehicle, current_bay_id=bay)
    pack = row(app, "auto.hv_battery_pack", vehicle_id=vehicle)
    row(app, "auto.hv_battery_test", hv_battery_pack_id=pack, result="quarantine")
    assert one(app, "SELECT status FROM auto.bay WHERE bay_id = %s", bay) == "out_of_service"


def test_a_weak_cell_shows_by_three_deviations(app: Connection) -> None:
    cells = [{"cell": n, "volts": 3.71 + n % 3 * 0.001, "celsius": 24} for n in range(1, 25)]
    cells[16]["volts"] = 3.6
    test = row(app, "auto.hv_battery_test", cell_voltages=Jsonb(cells))
    found = app.execute("SELECT cell, volts FROM auto.outlying_cells(%s)", [test]).fetchall()
    assert [(cell, float(volts)) for cell, volts in found] == [(17, 3.6)]


def test_even_cells_have_no_outliers(app: Connection) -> None:
    cells = [{"cell": n, "volts": 3.71} for n in range(1, 25)]
    test = row(app, "auto.hv_battery_test", cell_voltages=Jsonb(cells))
    assert app.execute("SELECT auto.outlying_cells(%s)", [test]).fetchall() == []


def test_an_alignment_tells_what_it_moved(app: Connection) -> None:
    done = row(
        app,
        "auto.wheel_alignment",
        result="parts_needed",
        specification=Jsonb(SPECIFICATION | {"camber_fl": [-1, 0]}),
        before_readings=Jsonb({"toe_fl": 0.3, "camber_fl": -1.4}),
        after_readings=Jsonb({"toe_fl": 0.05, "camber_fl": -1.2, "caster_fl": 5}),
    )
    found = app.execute(
        "SELECT angle, corrected_deg::float, is_inside FROM auto.alignment_corrections(%s)", [done]
    ).fetchall()
    assert found == [("camber_fl", 0.2, False), ("caster_fl", None, None), ("toe_fl", -0.25, True)]
