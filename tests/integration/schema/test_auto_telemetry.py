"""Scan reports are taken apart; monitors, samples and programming are what they can be."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

REPORT: dict[str, Any] = {
    "started_at": "2026-05-04T10:00:00Z",
    "ended_at": "2026-05-04T10:12:00Z",
    "battery_v": 12.4,
    "mil_on": True,
    "modules": [
        {"address": "7E8", "code": "ecm", "calibration_id": "CAL1", "cvn": "0F0F"},
        {"address": "768", "code": "abs", "responded": False},
    ],
    "codes": [
        {
            "code": "P0420",
            "module": "7E8",
            "status": 137,
            "frames": [{"rpm": 1800, "load": 40}, {"rpm": 2100}],
        },
        {"code": "P0420", "module": "7E8", "status": 137},
        {"code": "P0171", "module": "7E8", "service": "permanent_0a"},
    ],
    "monitors": [{"monitor": "catalyst"}, {"monitor": "misfire", "complete": True}],
}


def load(app: Connection, vehicle: UUID, **changes: Any) -> UUID:
    """Loads the report with some parts changed."""
    found: UUID = one(
        app,
        "SELECT auto.load_scan_report(%s, 'diagnosis', %s::jsonb)",
        vehicle,
        json.dumps({**REPORT, **changes}),
    )
    return found


def monitors(app: Connection, session: UUID, *codes: str, kind: str = "spark") -> None:
    """Incomplete monitors of a session beside one that has run."""
    for code in ("misfire", *codes):
        row(
            app,
            "auto.readiness_monitor",
            diagnostic_session_id=session,
            monitor_code=code,
            scope="since_clear",
            ignition_kind=kind,
            module_address="7E8",
            is_supported=True,
            is_complete=code == "misfire",
        )


def session_of(app: Connection, year: int | None) -> UUID:
    build = row(app, "auto.vehicle_configuration", model_year=year)
    vehicle = row(app, "auto.vehicle", vehicle_configuration_id=build)
    return row(app, "auto.diagnostic_session", vehicle_id=vehicle, session_kind="diagnosis")


@pytest.fixture
def vehicle(app: Connection) -> UUID:
    """A vehicle of the tenant."""
    return row(app, "auto.vehicle")


def test_a_report_becomes_rows(app: Connection, vehicle: UUID) -> None:
    row(app, "auto.dtc_definition", default_severity="stop_safely")
    session = load(app, vehicle)
    found = app.execute(
        "SELECT dtc_count, modules_found_count, modules_silent_count, is_mil_on,"
        " ended_at - started_at = interval '12 minutes'"
        " FROM auto.diagnostic_session WHERE diagnostic_session_id = %s",
        [session],
    ).fetchone()
    assert found == (2, 1, 1, True, True)
    codes = app.execute(
        "SELECT dtc_code, severity, is_current, is_mil_request FROM auto.detected_dtc"
        " ORDER BY dtc_code"
    ).fetchall()
    assert codes == [
        ("P0171", "service_soon", False, False),
        ("P0420", "stop_safely", True, True),
    ]
    frames = app.execute(
        "SELECT frame_no, engine_rpm::integer FROM auto.freeze_frame ORDER BY engine_rpm"
    ).fetchall()
    assert frames == [(0, 1800), (1, 2100)]
    assert one(app, "SELECT count(*) FROM auto.readiness_monitor WHERE is_complete") == 1


def test_a_report_without_end_leaves_the_tool_connected(app: Connection, vehicle: UUID) -> None:
    load(app, vehicle, ended_at=None)
    assert one(app, "SELECT ended_at FROM auto.diagnostic_session") is None


def test_a_report_resolves_permanent_codes_that_are_gone(app: Connection, vehicle: UUID) -> None:
    load(app, vehicle)
    load(
        app,
        vehicle,
        started_at="2026-05-08T10:00:00Z",
        ended_at="2026-05-08T10:05:00Z",
        codes=[],
    )
    assert (
        one(app, "SELECT resolution FROM auto.detected_dtc WHERE dtc_code = 'P0171'") == "repaired"
    )


def test_a_report_without_modules_is_refused(app: Connection, vehicle: UUID) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="has no list of modules"):
        load(app, vehicle, modules=None)


@pytest.mark.parametrize(
    ("year", "region", "unset", "ready"),
    [
        (2015, "TX", ["catalyst"], True),
        (2015, "TX", ["catalyst", "evap"], False),
        (1998, "TX", ["catalyst", "evap"], True),
        (None, "TX", ["catalyst", "evap"], False),
        (2015, "CA", ["evap"], True),
        (2015, "CA", ["catalyst"], False),
        (1998, "CA", ["catalyst"], True),
    ],
)
def test_a_region_accepts_so_many_unset_monitors(
    app: Connection, year: int | None, region: str, unset: list[str], ready: bool
) -> None:
    session = session_of(app, year)
    monitors(app, session, *unset)
    found = app.execute("SELECT * FROM auto.readiness_verdict(%s, %s)", [session, region])
    assert found.fetchall() == [(ready, len(unset), unset)]


@pytest.mark.parametrize(("year", "ready"), [(2010, True), (2004, False)])
def test_california_accepts_two_unset_monitors_of_a_newer_diesel(
    app: Connection, year: int, ready: bool
) -> None:
    session = session_of(app, year)
    monitors(app, session, "nmhc_catalyst", "pm_filter", kind="compression")
    verdict = "SELECT readiness_ok FROM auto.readiness_verdict(%s, 'CA')"
    assert one(app, verdict, session) is ready


def test_nothing_reported_is_not_ready(app: Connection) -> None:
    verdict = "SELECT readiness_ok FROM auto.readiness_verdict(%s, 'TX')"
    assert one(app, verdict, session_of(app, 2015)) is False


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"is_complete": True}, "complete_is_supported"),
        ({"monitor_code": "pm_filter", "ignition_kind": "spark"}, "of_its_ignition"),
        ({"monitor_code": "evap", "ignition_kind": "compression"}, "of_its_ignition"),
    ],
)
def test_monitors_are_of_their_engine(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"readiness_monitor_{truth}"):
        row(app, "auto.readiness_monitor", **given)


@pytest.mark.parametrize(
    ("value", "passed", "margin"), [(5, True, 50), (0, True, 0), (11, False, -10)]
)
def test_a_test_passes_within_its_limits(
    app: Connection, value: int, passed: bool, margin: int
) -> None:
    row(app, "auto.monitor_test_result", test_value=value, min_limit=0, max_limit=10)
    found = app.execute("SELECT passed, margin_pct FROM auto.monitor_test_result").fetchone()
    assert found == (passed, margin)


@pytest.mark.parametrize("table", ["monitor_test_result", "live_data_sample"])
def test_telemetry_is_append_only(app: Connection, table: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(f"DELETE FROM auto.{table}".encode())


@pytest.mark.parametrize("at", ["2026-05-04 09:59+00", "2026-05-04 10:13+00"])
def test_a_sample_lies_in_its_session(app: Connection, vehicle: UUID, at: str) -> None:
    session = load(app, vehicle)
    given = {"diagnostic_session_id": session, "vehicle_id": vehicle, "numeric_value": 1}
    row(app, "auto.live_data_sample", sampled_at="2026-05-04 10:05+00", **given)
    with pytest.raises(errors.CheckViolation, match="lies outside its session"):
        row(app, "auto.live_data_sample", sampled_at=at, **given)


def test_a_sample_has_one_value(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="live_data_sample_one_value"):
        row(app, "auto.live_data_sample", numeric_value=1, text_value="open")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"programming_kind": "reflash"}, "reflash_changes_software"),
        (
            {"programming_kind": "reflash", "from_calibration_id": "A", "to_calibration_id": "A"},
            "reflash_changes_software",
        ),
        ({"programming_kind": "immobilizer_key"}, "key_has_credential"),
        ({"result": "failed_bricked"}, "failure_is_told"),
        ({"battery_support_v": 11}, "battery_supported"),
        ({"ended_at": "2026-05-04 10:00+00"}, "ends_after_start"),
    ],
)
def test_programming_is_logged_whole(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"module_programming_{truth}"):
        row(app, "auto.module_programming", **given)
