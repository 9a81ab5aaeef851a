"""A scan finds codes; they are defined, counted, triaged and resolved."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

MOVES = {
    "active": {"expired", "repair", "retired"},
    "expired": {"active", "repair", "retired"},
    "repair": {"active", "expired", "retired"},
    "retired": set(),
}
PATHS = {"active": [], "expired": ["expired"], "repair": ["repair"], "retired": ["retired"]}


def scan(app: Connection, vehicle: UUID, started: str = "2026-05-04 10:00+00") -> UUID:
    """A session that is still connected, with its engine module at 7E8."""
    session = row(app, "auto.diagnostic_session", vehicle_id=vehicle, started_at=started)
    row(app, "auto.session_module", diagnostic_session_id=session, module_code="ecm")
    return session


def detect(app: Connection, session: UUID, code: str = "P0420", **given: Any) -> UUID:
    """A code of the engine module of a session."""
    vehicle, started = app.execute(
        "SELECT vehicle_id, started_at FROM auto.diagnostic_session"
        " WHERE diagnostic_session_id = %s",
        [session],
    ).fetchone() or (None, None)
    module = one(
        app,
        "SELECT session_module_id FROM auto.session_module"
        " WHERE diagnostic_session_id = %s AND responded",
        session,
    )
    return row(
        app,
        "auto.detected_dtc",
        **{
            "diagnostic_session_id": session,
            "session_module_id": module,
            "vehicle_id": vehicle,
            "dtc_code": code,
            "detected_at": started,
            **given,
        },
    )


def end(app: Connection, session: UUID) -> None:
    app.execute(
        "UPDATE auto.diagnostic_session SET ended_at = started_at + interval '10 minutes'"
        " WHERE diagnostic_session_id = %s",
        [session],
    )


def resolution(app: Connection, dtc: UUID) -> Any:
    return one(app, "SELECT resolution FROM auto.detected_dtc WHERE detected_dtc_id = %s", dtc)


@pytest.fixture
def vehicle(app: Connection) -> UUID:
    """A vehicle of the tenant."""
    return row(app, "auto.vehicle")


@pytest.mark.parametrize("old", MOVES)
@pytest.mark.parametrize("new", MOVES)
def test_a_scan_tool_moves_along_its_edges(app: Connection, old: str, new: str) -> None:
    row(app, "auto.scan_tool")
    for state in PATHS[old]:
        app.execute("UPDATE auto.scan_tool SET status = %s", [state])
    if new == old or new in MOVES[old]:
        app.execute("UPDATE auto.scan_tool SET status = %s", [new])
        assert one(app, "SELECT status FROM auto.scan_tool") == new
    else:
        with pytest.raises(errors.CheckViolation):
            app.execute("UPDATE auto.scan_tool SET status = %s", [new])


def test_a_tool_without_subscription_is_not_active(app: Connection) -> None:
    row(app, "auto.scan_tool", status="expired", subscription_expires_on="2020-01-01")
    with pytest.raises(errors.CheckViolation, match="its subscription ended on 2020-01-01"):
        app.execute("UPDATE auto.scan_tool SET status = 'active'")


def test_a_paid_tool_becomes_active(app: Connection) -> None:
    row(app, "auto.scan_tool", status="expired", subscription_expires_on="2099-01-01")
    app.execute("UPDATE auto.scan_tool SET status = 'active'")
    assert one(app, "SELECT status FROM auto.scan_tool") == "active"


@pytest.mark.parametrize(
    ("table", "given", "truth"),
    [
        ("scan_tool", {"tool_kind": "j2534_pass_thru"}, "pass_thru_names_protocols"),
        ("diagnostic_session", {"session_kind": "pre_scan"}, "of_a_repair"),
        ("diagnostic_session", {"protocol": "j1939"}, "j1939_throughout"),
        ("diagnostic_session", {"battery_v": 5}, "battery_plausible"),
        ("diagnostic_session", {"ended_at": "2000-01-01"}, "ends_after_start"),
        ("diagnostic_session", {"codes_cleared_at": "2000-01-01"}, "cleared_within"),
        ("session_module", {"responded": False, "dtc_count": 1}, "silent_reports_nothing"),
        ("session_module", {"calibration_id": "A1"}, "calibration_is_verified"),
        ("session_module", {"module_address": "xyz"}, "address_hexadecimal"),
        ("dtc_definition", {"dtc_code": "X0420"}, "code_j2012"),
        ("dtc_definition", {"authority": "manufacturer"}, "make_of_its_authority"),
        ("dtc_definition", {"failure_type_byte": "1"}, "failure_type_is_byte"),
        ("detected_dtc", {"status_byte": 256, "is_current": False}, "status_is_byte"),
        ("detected_dtc", {"status_byte": 9, "is_current": False}, "current_is_bit_0"),
        ("detected_dtc", {"resolution": "repaired"}, "resolved_has_time"),
        ("freeze_frame", {"coolant_temp_c": 216}, "coolant_bounded"),
        ("freeze_frame", {"long_fuel_trim_pct": 100}, "long_trim_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"auto.{table}", **given)


@pytest.mark.parametrize(
    ("code", "system"),
    [("P0420", "powertrain"), ("C0035", "chassis"), ("B0001", "body"), ("U0100", "network")],
)
def test_the_first_letter_tells_the_system(app: Connection, code: str, system: str) -> None:
    row(app, "auto.dtc_definition", dtc_code=code)
    assert one(app, "SELECT code_system FROM auto.dtc_definition") == system


def test_the_code_of_the_make_comes_before_the_generic_one(app: Connection) -> None:
    build = row(app, "auto.vehicle_configuration", make_name="Ford")
    vehicle = row(app, "auto.vehicle", vehicle_configuration_id=build)
    row(app, "auto.dtc_definition")
    row(
        app,
        "auto.dtc_definition",
        authority="manufacturer",
        make_name="Ford",
        default_severity="do_not_drive",
    )
    detect(app, scan(app, vehicle), severity=None)
    assert one(app, "SELECT severity FROM auto.detected_dtc") == "do_not_drive"


def test_an_unknown_code_is_to_be_looked_at_soon(app: Connection, vehicle: UUID) -> None:
    detect(app, scan(app, vehicle), "P3FFF", severity=None)
    found = app.execute("SELECT severity, dtc_definition_id FROM auto.detected_dtc").fetchone()
    assert found == ("service_soon", None)


def test_a_session_counts_codes_and_modules(app: Connection, vehicle: UUID) -> None:
    session = scan(app, vehicle)
    row(
        app,
        "auto.session_module",
        diagnostic_session_id=session,
        module_address="768",
        responded=False,
    )
    found = detect(app, session)
    counts = (
        "SELECT s.dtc_count, s.modules_found_count, s.modules_silent_count,"
        " (SELECT sum(m.dtc_count) FROM auto.session_module AS m)"
        " FROM auto.diagnostic_session AS s"
    )
    assert app.execute(counts.encode()).fetchone() == (1, 1, 1, 1)
    app.execute("DELETE FROM auto.service_recommendation")
    app.execute("DELETE FROM auto.detected_dtc WHERE detected_dtc_id = %s", [found])
    assert app.execute(counts.encode()).fetchone() == (0, 1, 1, 0)


def test_clearing_does_not_resolve_a_permanent_code(app: Connection, vehicle: UUID) -> None:
    detect(app, scan(app, vehicle), obd_service="permanent_0a")
    with pytest.raises(errors.CheckViolation, match="detected_dtc_permanent_not_cleared"):
        app.execute("UPDATE auto.detected_dtc SET resolution = 'cleared_only', resolved_at = now()")


def test_a_permanent_code_is_not_declared_repaired(app: Connection, vehicle: UUID) -> None:
    detect(app, scan(app, vehicle), obd_service="permanent_0a")
    with pytest.raises(errors.CheckViolation, match="P0420 is still stored in the vehicle"):
        app.execute("UPDATE auto.detected_dtc SET resolution = 'repaired', resolved_at = now()")


@pytest.mark.parametrize(("again", "became"), [(False, "repaired"), (True, "open")])
def test_a_later_session_resolves_a_permanent_code_that_is_gone(
    app: Connection, vehicle: UUID, again: bool, became: str
) -> None:
    first = detect(app, scan(app, vehicle), obd_service="permanent_0a")
    later = scan(app, vehicle, "2026-05-08 10:00+00")
    if again:
        detect(app, later, obd_service="permanent_0a")
    end(app, later)
    assert resolution(app, first) == became


def test_a_silent_engine_module_resolves_nothing(app: Connection, vehicle: UUID) -> None:
    first = detect(app, scan(app, vehicle), obd_service="permanent_0a")
    later = scan(app, vehicle, "2026-05-08 10:00+00")
    app.execute(
        "UPDATE auto.session_module SET responded = false WHERE diagnostic_session_id = %s",
        [later],
    )
    end(app, later)
    assert resolution(app, first) == "open"


def triage(app: Connection, session: UUID) -> Any:
    return app.execute("SELECT * FROM auto.triage_dtcs(%s)", [session]).fetchall()


def test_lost_communication_is_the_root_of_other_codes(app: Connection, vehicle: UUID) -> None:
    session = scan(app, vehicle)
    detect(app, session, "P0171", is_current=True)
    detect(app, session, "U0100", is_current=True)
    assert [found[:3] for found in triage(app, session)] == [
        ("U0100", True, "service_soon"),
        ("P0171", False, "service_soon"),
    ]


def test_the_worst_code_comes_first_and_the_oldest_is_the_root(
    app: Connection, vehicle: UUID
) -> None:
    session = scan(app, vehicle)
    detect(app, session, "P0171", is_current=True, first_seen_odometer=100)
    detect(
        app,
        session,
        "P0300",
        is_current=True,
        severity="stop_safely",
        first_seen_odometer=120,
    )
    assert [found[:2] for found in triage(app, session)] == [("P0300", False), ("P0171", True)]


def test_triage_tells_how_often_a_code_came_and_what_cured_it(
    app: Connection, vehicle: UUID
) -> None:
    before = detect(app, scan(app, vehicle))
    job = row(app, "auto.repair_job", correction_text="Replaced the catalyst")
    app.execute(
        "UPDATE auto.detected_dtc SET resolution = 'repaired', repair_job_id = %s,"
        " resolved_at = now() WHERE detected_dtc_id = %s",
        [job, before],
    )
    later = scan(app, vehicle, "2026-05-08 10:00+00")
    detect(app, later)
    assert triage(app, later)[0][3:] == (1, "Replaced the catalyst")


def test_triage_of_an_unknown_session_finds_nothing(app: Connection, vehicle: UUID) -> None:
    detect(app, scan(app, vehicle))
    assert triage(app, vehicle) == []


def test_frames_of_a_code_are_compared_pid_by_pid(app: Connection) -> None:
    code = row(app, "auto.detected_dtc")
    for frame, level in [(0, 40), (1, 46)]:
        row(app, "auto.freeze_frame", detected_dtc_id=code, frame_no=frame,
            parameters=Jsonb({"2F": {"value": level, "unit": "percent"}}))  # fmt: skip
    found = app.execute(
        "SELECT frame_no, pid, value, unit, since_first_frame FROM auto.v_freeze_frame_parameter"
        " ORDER BY frame_no"
    ).fetchall()
    assert found == [(0, "2F", 40, "percent", 0), (1, "2F", 46, "percent", 6)]
