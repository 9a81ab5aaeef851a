"""Qualified inspectors, decals that last a year, readiness by model year, free retests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_hs_organization import one


def vehicle(app: Connection, model_year: int | None = None) -> UUID:
    build = None
    if model_year is not None:
        build = row(app, "auto.vehicle_configuration", model_year=model_year)
    return row(app, "auto.vehicle", vin=None, vehicle_configuration_id=build)


def inspector(app: Connection, **given: Any) -> UUID:
    """A technician with a certificate of brake inspectors."""
    technician = row(app, "auto.technician", hired_on="2026-01-05")
    usual = {
        "technician_id": technician,
        "program": "dot_brake_inspector",
        "status": "valid",
        "verified_at": "2026-01-01",
        "issued_on": "2026-01-01",
        "expires_on": "2027-01-01",
    }
    row(app, "auto.technician_certification", **{**usual, **given})
    return technician


def dot(app: Connection, technician: UUID, **given: Any) -> UUID:
    usual = {
        "inspector_technician_id": technician,
        "vehicle_id": vehicle(app),
        "inspected_on": "2026-05-04",
    }
    return row(app, "auto.dot_inspection", **{**usual, **given})


def state(app: Connection, of: UUID, **given: Any) -> UUID:
    """An emissions test of a vehicle that passes for 25."""
    usual = {
        "vehicle_id": of,
        "program": "obd_emissions",
        "tested_at": "2026-05-04 10:00+00",
        "bulb_check_ok": True,
        "result": "pass",
        "fee_amount": 25,
    }
    return row(app, "auto.state_inspection", **{**usual, **given})


def test_a_certified_inspector_inspects_commercial_vehicles(app: Connection) -> None:
    assert dot(app, inspector(app))


@pytest.mark.parametrize(
    "given",
    [
        {"program": "state_inspector"},
        {"status": "pending"},
        {"issued_on": "2026-05-05"},
        {"expires_on": "2026-05-03"},
    ],
)
def test_another_or_lapsed_certificate_does_not_qualify(
    app: Connection, given: dict[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation, match="no qualified inspector"):
        dot(app, inspector(app, **given))


@pytest.mark.parametrize(
    ("hired_on", "is_qualified"), [("2025-05-04", True), ("2025-05-05", False)]
)
def test_a_year_of_experience_qualifies(app: Connection, hired_on: str, is_qualified: bool) -> None:
    technician = row(app, "auto.technician", hired_on=hired_on)
    experienced = {"inspector_qualification": "experience"}
    with pytest.raises(errors.CheckViolation, match="no qualified inspector"), app.transaction():
        dot(app, technician)
    if is_qualified:
        assert dot(app, technician, **experienced)
    else:
        with pytest.raises(errors.CheckViolation, match="no qualified inspector"):
            dot(app, technician, **experienced)


def test_an_inspection_passes_to_a_qualified_inspector_only(app: Connection) -> None:
    dot(app, inspector(app))
    with pytest.raises(errors.CheckViolation, match="no qualified inspector"):
        app.execute(
            "UPDATE auto.dot_inspection SET inspector_technician_id = %s",
            [row(app, "auto.technician", hired_on="2026-01-05")],
        )


def test_history_is_imported_as_it_was(app: Connection) -> None:
    assert imported(app, "auto.dot_inspection", vehicle_id=vehicle(app))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"out_of_service_count": 1, "defect_count": 1}, "pass_has_none_out_of_service"),
        ({"result": "fail", "out_of_service_count": 2, "defect_count": 1}, "defects_bounded"),
        ({"valid_until_on": "2027-06-01"}, "annual_valid_twelve_months"),
        ({"retain_until_on": "2027-07-03"}, "annual_retained_14_months"),
    ],
)
def test_a_commercial_inspection_keeps_its_rules(
    app: Connection, given: dict[str, Any], rule: str
) -> None:
    technician = inspector(app)
    with pytest.raises(errors.CheckViolation, match=rule):
        dot(app, technician, **given)


def test_an_annual_inspection_lasts_to_the_end_of_the_twelfth_month(app: Connection) -> None:
    given = {"valid_until_on": "2027-05-31", "retain_until_on": "2027-07-04"}
    assert dot(app, inspector(app), **given)


@pytest.mark.parametrize(
    ("model_year", "allowed"), [(2001, 1), (2024, 1), (2000, 2), (1996, 2), (1995, 0), (None, 2)]
)
def test_readiness_allows_what_the_model_year_allows(
    app: Connection, model_year: int | None, allowed: int
) -> None:
    car = vehicle(app, model_year)
    state(app, car, unset_monitor_count=allowed, readiness_ok=True)
    state(app, car, unset_monitor_count=allowed + 1, readiness_ok=False, result="reject")
    with pytest.raises(errors.CheckViolation):
        state(app, car, unset_monitor_count=allowed + 1, readiness_ok=True)


@pytest.mark.parametrize(
    ("model_year", "allowed"), [(1995, 0), (1996, 2), (2000, 2), (2001, 1), (None, 2)]
)
def test_monitors_are_counted_by_model_year(
    app: Connection, model_year: int | None, allowed: int
) -> None:
    found = one(app, "SELECT auto.unset_monitors_allowed(%s::integer)", model_year)
    assert found == allowed


@pytest.mark.parametrize("given", [{"mil_commanded_on": True}, {"bulb_check_ok": False}])
def test_no_vehicle_passes_emissions_with_its_lamp_on_or_broken(
    app: Connection, given: dict[str, Any]
) -> None:
    car = vehicle(app)
    state(app, car, result="fail", **given)
    state(app, car, program="safety", **given)
    with pytest.raises(errors.CheckViolation, match="emissions_pass_without_mil"):
        state(app, car, **given)


def test_a_free_retest_names_the_failed_inspection(app: Connection) -> None:
    car = vehicle(app)
    failed = state(app, car, result="fail")
    free = {"fee_amount": 0, "tested_at": "2026-05-11 10:00+00"}
    with pytest.raises(errors.CheckViolation, match="free retest names"), app.transaction():
        state(app, car, **free)
    assert state(app, car, retest_of_inspection_id=failed, **free)


@pytest.mark.parametrize(
    "given",
    [
        {"fee_amount": 25, "tested_at": "2026-05-11 10:00+00"},
        {"fee_amount": 0, "tested_at": "2026-07-03 10:01+00"},
        {"fee_amount": 0, "tested_at": "2026-05-11 10:00+00", "program": "safety"},
        {"fee_amount": 0, "tested_at": "2026-05-01 10:00+00"},
    ],
)
def test_a_paid_later_earlier_or_other_test_names_none(
    app: Connection, given: dict[str, Any]
) -> None:
    car = vehicle(app)
    state(app, car, result="fail")
    assert state(app, car, **given)


@pytest.mark.parametrize(
    ("first", "given"),
    [
        ({"result": "pass"}, {}),
        ({"result": "fail", "program": "safety"}, {}),
        ({"result": "fail"}, {"tested_at": "2026-07-03 10:01+00"}),
        ({"result": "fail"}, {"tested_at": "2026-05-04 10:00+00"}),
    ],
)
def test_a_retest_repeats_a_failed_test_of_the_program_in_time(
    app: Connection, first: dict[str, Any], given: dict[str, Any]
) -> None:
    car = vehicle(app)
    retested = {"tested_at": "2026-05-11 10:00+00", **given}
    of = state(app, car, **first)
    with pytest.raises(errors.CheckViolation, match="a retest repeats"):
        state(app, car, retest_of_inspection_id=of, **retested)


def test_a_retest_is_of_the_same_vehicle(app: Connection) -> None:
    of = state(app, vehicle(app), result="fail")
    retested = {"tested_at": "2026-05-11 10:00+00", "retest_of_inspection_id": of}
    with pytest.raises(errors.CheckViolation, match="a retest repeats"):
        state(app, vehicle(app), **retested)


def test_a_certificate_is_one_a_region(app: Connection) -> None:
    given = {"region_code": "IL", "certificate_number": "IL1"}
    state(app, vehicle(app), **given)
    state(app, vehicle(app), **{**given, "region_code": "WI"})
    with pytest.raises(errors.UniqueViolation):
        state(app, vehicle(app), **given)
