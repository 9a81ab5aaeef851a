"""Readings get a verdict, warranties cover what they say, every pound of refrigerant is known."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_scheduling import TENANT, Shop, add_shop, add_work_order
from tests.integration.schema.test_hs_workforce import add_technician, may_become


@pytest.fixture
def shop(app: Connection) -> Shop:
    """A contractor with a customer's location."""
    return add_shop(app)


def install(connection: Connection, shop: Shop, tag: str = "E1", **given: Any) -> UUID:
    """A unit at the location, five years old."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.installed_equipment (business_id, service_location_id, asset_tag,"
        " installed_on, refrigerant_code, full_charge_lb, charge_method, parent_equipment_id)"
        f" VALUES ({TENANT}, %s, %s, current_date - 1825, %s, %s, %s, %s)"
        " RETURNING installed_equipment_id",
        given.get("location", shop.location),
        tag,
        given.get("code", "R-410A"),
        given.get("charge", 8),
        "manufacturer",
        given.get("parent"),
    )
    return found


# Units.


def second_location(connection: Connection) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO hs.service_location (business_id, customer_id, location_number,"
        " address_line, city, postal_code, country_code) SELECT business_id, customer_id, 'L2',"
        " '2 Oak St', 'Chicago', '60601', 'US' FROM hs.customer RETURNING service_location_id",
    )
    return found


def test_a_part_stands_where_its_system_stands(app: Connection, shop: Shop) -> None:
    system = install(app, shop)
    install(app, shop, "E2", parent=system)
    elsewhere = second_location(app)
    with (
        pytest.raises(errors.CheckViolation, match="unit E3 is part of a system at another"),
        app.transaction(),
    ):
        install(app, shop, "E3", parent=system, location=elsewhere)
    with (
        pytest.raises(errors.CheckViolation, match="unit E2 is part of a system at another"),
        app.transaction(),
    ):
        app.execute(
            "UPDATE hs.installed_equipment SET service_location_id = %s"
            " WHERE installed_equipment_id = %s",
            [elsewhere, system],
        )
    app.execute("UPDATE hs.installed_equipment SET service_location_id = %s", [elsewhere])


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("refrigerant_code = NULL", "installed_equipment_charge_of_refrigerant"),
        ("charge_method = NULL", "installed_equipment_charge_known_somehow"),
        ("status = 'removed'", "installed_equipment_removed_has_day"),
        ("removed_on = current_date", "installed_equipment_removed_has_day"),
        ("manufactured_on = installed_on + 1", "installed_equipment_made_before_installed"),
        ("refrigerant_code = '410A'", "installed_equipment_refrigerant_shape"),
    ],
)
def test_what_cannot_be_true_of_a_unit(
    app: Connection, shop: Shop, change: str, truth: str
) -> None:
    install(app, shop)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE hs.installed_equipment SET {change}".encode())


# Readings.


def measure(connection: Connection, unit: UUID, value: float, **given: Any) -> Any:
    """The verdict on a reading of superheat between 8 and 15 (or as given)."""
    return one(
        connection,
        "INSERT INTO hs.equipment_measurement (business_id, installed_equipment_id, parameter,"
        " measured_value, unit_code, target_min, target_max, tool_asset_id)"
        f" VALUES ({TENANT}, %s, 'superheat', %s, 'F', %s, %s, %s) RETURNING verdict",
        unit,
        value,
        given.get("low", 8),
        given.get("high", 15),
        given.get("tool"),
    )


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (8, "pass"),
        (15, "pass"),
        (7.9, "warning"),
        (7.2, "warning"),
        (7.1, "fail"),
        (16.5, "warning"),
        (16.6, "fail"),
    ],
)
def test_the_verdict_follows_from_the_target(
    app: Connection, shop: Shop, value: float, verdict: str
) -> None:
    assert measure(app, install(app, shop), value) == verdict


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"low": None, "high": None}, None),
        ({"low": None}, "pass"),
        ({"high": None}, "fail"),
        ({"low": -10, "high": -5}, "fail"),
        ({"low": -10, "high": 5}, "pass"),
    ],
)
def test_a_target_may_be_open_or_negative(
    app: Connection, shop: Shop, given: dict[str, Any], verdict: str | None
) -> None:
    assert measure(app, install(app, shop), 2, **given) == verdict


@pytest.mark.parametrize(("due", "stands"), [(0, True), (-1, False)])
def test_a_tool_past_its_calibration_reads_nothing(
    app: Connection, shop: Shop, due: int, stands: bool
) -> None:
    app.execute("RESET TIME ZONE")
    tool = one(
        app,
        "INSERT INTO hs.tool_asset (business_id, branch_id, asset_number, name, tool_kind,"
        f" purchased_on, calibration_interval_days, calibration_due_on) VALUES ({TENANT}, %s,"
        " 'M1', 'Meter', 'meter', '2020-01-01', 365, now()::date + %s::integer)"
        " RETURNING tool_asset_id",
        shop.branch,
        due,
    )
    unit = install(app, shop)
    if stands:
        assert measure(app, unit, 10, tool=tool) == "pass"
        return
    with pytest.raises(errors.CheckViolation, match="tool M1 was due for calibration"):
        measure(app, unit, 10, tool=tool)


def test_readings_are_kept(app: Connection, shop: Shop) -> None:
    measure(app, install(app, shop), 10)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute("DELETE FROM hs.equipment_measurement")


# Warranties.

COVERAGE = {
    "components": [
        {"component": "compressor", "months": 120, "labor_cap": 800},
        {"component": "coil", "months": 60},
    ]
}


def warrant(connection: Connection, unit: UUID, **given: Any) -> UUID:
    """Ten years of parts from 2020 on."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.equipment_warranty (business_id, installed_equipment_id, warranty_kind,"
        " starts_on, ends_on, coverage, deductible_amount, status, registration_deadline_on)"
        f" VALUES ({TENANT}, %s, %s, '2020-01-01', '2030-01-01', %s, %s, %s, '2020-03-01')"
        " RETURNING equipment_warranty_id",
        unit,
        given.get("kind", "manufacturer_parts"),
        Jsonb(given.get("coverage", COVERAGE)),
        given.get("deductible", 0),
        given.get("status", "active"),
    )
    return found


def covers(connection: Connection, unit: UUID, part: str, on: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT warranty_kind, component, covered_until::text, labor_cap_amount::text"
        " FROM hs.find_coverage(%s, %s, %s)",
        [unit, part, on],
    ).fetchall()


@pytest.mark.parametrize(
    ("part", "on", "until"),
    [
        ("compressor", "2020-01-01", "2030-01-01"),
        ("compressor", "2029-12-31", "2030-01-01"),
        ("compressor", "2030-01-01", None),
        ("compressor", "2019-12-31", None),
        ("coil", "2024-12-31", "2025-01-01"),
        ("coil", "2025-01-01", None),
        ("fan", "2021-01-01", None),
    ],
)
def test_a_part_is_covered_for_its_months(
    app: Connection, shop: Shop, part: str, on: str, until: str | None
) -> None:
    unit = install(app, shop)
    warrant(app, unit)
    cap = "800.00" if part == "compressor" else None
    expected = [("manufacturer_parts", part, until, cap)] if until else []
    assert covers(app, unit, part, on) == expected


def test_the_cheapest_coverage_comes_first(app: Connection, shop: Shop) -> None:
    unit = install(app, shop)
    everything = {"components": [{"component": "all", "months": 36}]}
    warrant(app, unit, kind="extended", deductible=75, coverage=everything)
    warrant(app, unit)
    warrant(app, unit, kind="labor", status="pending_registration")
    found = covers(app, unit, "coil", "2021-06-01")
    assert [row[:2] for row in found] == [("manufacturer_parts", "coil"), ("extended", "all")]


def test_registration_is_in_time(app: Connection, shop: Shop) -> None:
    warrant(app, install(app, shop), status="pending_registration")
    app.execute("UPDATE hs.equipment_warranty SET registered_on = '2020-03-01', status = 'active'")
    assert one(app, "SELECT is_registered FROM hs.equipment_warranty") is True
    with pytest.raises(errors.CheckViolation, match="equipment_warranty_registered_in_time"):
        app.execute("UPDATE hs.equipment_warranty SET registered_on = '2020-03-02'")


def claim(connection: Connection, warranty: UUID, on: str, number: str = "1") -> None:
    order = one(connection, "SELECT work_order_id FROM hs.work_order") or add_work_order(connection)
    connection.execute(
        "INSERT INTO hs.warranty_claim (business_id, equipment_warranty_id, work_order_id,"
        " claim_number, failure_on, parts_claimed_amount, labor_claimed_amount)"
        f" VALUES ({TENANT}, %s, %s, %s, %s, 400, 100)",
        [warranty, order, number, on],
    )


@pytest.mark.parametrize(
    ("on", "inside"),
    [("2020-01-01", True), ("2029-12-31", True), ("2019-12-31", False), ("2030-01-01", False)],
)
def test_a_claim_is_about_a_failure_within_the_warranty(
    app: Connection, shop: Shop, on: str, inside: bool
) -> None:
    warranty = warrant(app, install(app, shop))
    if inside:
        claim(app, warranty, on)
        return
    with pytest.raises(errors.CheckViolation, match="is outside the warranty"):
        claim(app, warranty, on)


def test_a_warranty_keeps_covering_its_claims(app: Connection, shop: Shop) -> None:
    claim(app, warrant(app, install(app, shop)), "2025-06-01")
    with pytest.raises(errors.CheckViolation, match="claim 1: the failure on 2025-06-01"):
        app.execute("UPDATE hs.equipment_warranty SET ends_on = '2025-06-01'")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("credited_amount = 500.01, credited_on = now()", "credit_within_claim"),
        ("credited_amount = 500", "credit_has_day"),
        ("status = 'submitted'", "submitted_has_day"),
        ("submitted_on = '2025-05-31'", "submitted_after_failure"),
    ],
)
def test_what_cannot_be_true_of_a_claim(
    app: Connection, shop: Shop, change: str, truth: str
) -> None:
    claim(app, warrant(app, install(app, shop)), "2025-06-01")
    with pytest.raises(errors.CheckViolation, match=f"warranty_claim_{truth}"):
        app.execute(f"UPDATE hs.warranty_claim SET {change}".encode())


# Refrigerant.


def certify(connection: Connection, technician: UUID, **given: Any) -> None:
    """An EPA 608 certificate."""
    connection.execute(
        "INSERT INTO hs.certification_type (business_id, certification_code, name, issuing_body,"
        f" regime) VALUES ({TENANT}, 'EPA608', 'EPA 608', 'EPA', %s)",
        [given.get("regime", "epa_608")],
    )
    connection.execute(
        "INSERT INTO hs.technician_certification (business_id, technician_id,"
        " certification_type_id, certificate_number, status, verified_at, verification_method,"
        " issued_on, expires_on) SELECT t.business_id, %s, t.certification_type_id, '1', 'valid',"
        " now(), 'card', current_date - 700, current_date + %s::integer"
        " FROM hs.certification_type AS t",
        [technician, given.get("ends_in")],
    )


def add_cylinder(connection: Connection, kind: str = "virgin", code: str = "R-410A") -> UUID:
    """Of 25 lb, full where it is not for recovery."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.refrigerant_cylinder (business_id, cylinder_number, refrigerant_code,"
        " cylinder_kind, tare_lb, capacity_lb, net_lb, received_on, hydrotest_due_on)"
        f" VALUES ({TENANT}, %s, %s, %s, 12, 25, %s, current_date - 900, current_date + 900)"
        " RETURNING refrigerant_cylinder_id",
        f"CYL-{kind}",
        code,
        kind,
        0 if kind == "recovery" else 25,
    )
    return found


@pytest.fixture
def technician(app: Connection, shop: Shop) -> UUID:
    """One who may handle refrigerant."""
    found = add_technician(app)
    certify(app, found)
    return found


def transact(connection: Connection, cylinder: UUID, technician: UUID, **given: Any) -> Any:
    """Moves refrigerant and returns the leak rate."""
    return one(
        connection,
        "INSERT INTO hs.refrigerant_transaction (business_id, refrigerant_cylinder_id,"
        " technician_id, installed_equipment_id, transaction_kind, refrigerant_code,"
        " weight_before_lb, weight_after_lb, purpose, performed_at, leak_rate_method)"
        f" VALUES ({TENANT}, %s, %s, %s, %s, %s, %s, %s, %s, now() - %s * interval '1 day', %s)"
        " RETURNING leak_rate_pct",
        cylinder,
        technician,
        given.get("unit"),
        given.get("kind", "charge"),
        given.get("code", "R-410A"),
        given["weights"][0],
        given["weights"][1],
        given.get("purpose", "top_off"),
        given.get("days", 0),
        given.get("method"),
    )


def net(connection: Connection, cylinder: UUID) -> float:
    return float(
        one(
            connection,
            "SELECT net_lb FROM hs.refrigerant_cylinder WHERE refrigerant_cylinder_id = %s",
            cylinder,
        )
    )


def test_the_weight_of_a_cylinder_follows_its_transactions(
    app: Connection, shop: Shop, technician: UUID
) -> None:
    cylinder, unit = add_cylinder(app), install(app, shop)
    transact(app, cylinder, technician, unit=unit, weights=(25, 21), days=2)
    assert net(app, cylinder) == 21
    transact(app, cylinder, technician, unit=unit, weights=(21, 20.5), days=1)
    assert net(app, cylinder) == 20.5
    assert one(app, "SELECT sum(quantity_lb)::float FROM hs.refrigerant_transaction") == 4.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": (24, 20)}, "held 25.0000 lb"),
        ({"weights": (25, 20), "code": "R-22"}, "holds R-410A, not R-22"),
        ({"weights": (25, 25)}, "moves_something"),
        ({"weights": (20, 25)}, "held 25.0000 lb"),
        ({"weights": (25, 24), "kind": "recover"}, "fills_or_empties"),
        ({"weights": (25, 24), "kind": "reclaim_shipment"}, "shipment_names_reclaimer"),
        ({"weights": (25, 24), "unit": None}, "names_equipment"),
    ],
)
def test_a_pound_is_accounted_for(
    app: Connection, shop: Shop, technician: UUID, given: dict[str, Any], message: str
) -> None:
    cylinder, unit = add_cylinder(app), install(app, shop)
    with pytest.raises(errors.CheckViolation, match=message):
        transact(app, cylinder, technician, **{"unit": unit} | given)


def test_the_chain_of_weights_is_in_order(app: Connection, shop: Shop, technician: UUID) -> None:
    cylinder, unit = add_cylinder(app), install(app, shop)
    transact(app, cylinder, technician, unit=unit, weights=(25, 21), days=2)
    with pytest.raises(errors.CheckViolation, match=r"held 21.0000 lb since"):
        transact(app, cylinder, technician, unit=unit, weights=(21, 20), days=3)


def test_a_weight_is_not_edited(app: Connection, shop: Shop, technician: UUID) -> None:
    cylinder, unit = add_cylinder(app), install(app, shop)
    transact(app, cylinder, technician, unit=unit, weights=(25, 21))
    with pytest.raises(errors.CheckViolation, match="follows its transactions"):
        app.execute("UPDATE hs.refrigerant_cylinder SET net_lb = 25")


def test_refrigerants_are_not_mixed(app: Connection, shop: Shop, technician: UUID) -> None:
    unit = install(app, shop, code="R-22")
    with pytest.raises(errors.CheckViolation, match="unit E1 runs on R-22, not R-410A"):
        transact(app, add_cylinder(app), technician, unit=unit, weights=(25, 21))


@pytest.mark.parametrize(
    "given", [{"regime": "nate"}, {"ends_in": -30}], ids=["another certificate", "lapsed"]
)
def test_only_the_certified_handle_refrigerant(
    app: Connection, shop: Shop, given: dict[str, Any]
) -> None:
    technician = add_technician(app)
    certify(app, technician, **given)
    with pytest.raises(errors.CheckViolation, match="no valid EPA 608 certificate"):
        transact(app, add_cylinder(app), technician, unit=install(app, shop), weights=(25, 21))


def test_a_certificate_counts_on_the_day_of_the_work(app: Connection, shop: Shop) -> None:
    technician = add_technician(app)
    certify(app, technician, ends_in=-30)
    unit = install(app, shop)
    transact(app, add_cylinder(app), technician, unit=unit, weights=(25, 21), days=40)


@pytest.mark.parametrize(("pounds", "fits"), [(20, True), (20.5, False)])
def test_a_recovery_cylinder_is_filled_to_four_fifths(
    app: Connection, shop: Shop, technician: UUID, pounds: float, fits: bool
) -> None:
    cylinder, unit = add_cylinder(app, "recovery"), install(app, shop)
    given = {"kind": "recover", "unit": unit, "purpose": "retrofit"}
    if fits:
        transact(app, cylinder, technician, weights=(0, pounds), **given)
        assert net(app, cylinder) == pounds
        return
    with pytest.raises(errors.CheckViolation, match="recovery_at_most_80_percent"):
        transact(app, cylinder, technician, weights=(0, pounds), **given)


def test_nothing_is_filled_into_a_cylinder_past_its_test(
    app: Connection, shop: Shop, technician: UUID
) -> None:
    cylinder, unit = add_cylinder(app, "recovery"), install(app, shop)
    given = {"kind": "recover", "unit": unit, "purpose": "retrofit"}
    transact(app, cylinder, technician, weights=(0, 5), days=3, **given)
    app.execute("UPDATE hs.refrigerant_cylinder SET hydrotest_due_on = current_date - 2")
    with (
        pytest.raises(errors.CheckViolation, match="was due for its test"),
        app.transaction(),
    ):
        transact(app, cylinder, technician, weights=(5, 8), days=1, **given)
    transact(app, cylinder, technician, weights=(5, 0), kind="transfer_out")


def set_threshold(connection: Connection, key: str, value: int) -> None:
    connection.execute(
        "INSERT INTO system_core.setting (business_id, namespace, setting_key, value_type, value)"
        f" VALUES ({TENANT}, 'hs', %s, 'number', %s)",
        [key, Jsonb(value)],
    )


@pytest.mark.parametrize(
    ("charge", "threshold", "watched"),
    [(50, None, True), (49.9, None, False), (20, 15, True), (60, 100, False)],
)
def test_leaks_are_watched_from_the_threshold_of_the_tenant(
    app: Connection, shop: Shop, technician: UUID, charge: float, threshold: int, watched: bool
) -> None:
    if threshold:
        set_threshold(app, "leak_threshold_lb", threshold)
    unit = install(app, shop, charge=charge)
    rate = transact(app, add_cylinder(app), technician, unit=unit, weights=(25, 15))
    assert (rate is not None) == watched
    leaking = one(app, "SELECT count(*) FROM hs.v_leak_watch")
    assert leaking == int(watched)


@pytest.mark.parametrize(
    ("method", "rate"),
    [("annualizing", 5 / 100 * 365 / 73 * 100), ("rolling_average", (5 + 4) / 100 * 100)],
)
def test_the_leak_rate_is_of_a_year(
    app: Connection, shop: Shop, technician: UUID, method: str, rate: float
) -> None:
    cylinder, unit = add_cylinder(app), install(app, shop, charge=100)
    first = transact(app, cylinder, technician, unit=unit, weights=(25, 21), days=73)
    assert float(first) == 4, "nothing was charged in the year before"
    second = transact(app, cylinder, technician, unit=unit, weights=(21, 16), method=method)
    assert float(second) == pytest.approx(rate)


def test_a_new_installation_is_no_leak(app: Connection, shop: Shop, technician: UUID) -> None:
    unit = install(app, shop, charge=60)
    given = {"unit": unit, "purpose": "new_install"}
    assert transact(app, add_cylinder(app), technician, weights=(25, 0), **given) is None


# State machines.

EQUIPMENT: dict[str, set[str]] = {
    "active": {"inactive", "removed"},
    "inactive": {"active", "removed"},
    "removed": {"scrapped"},
    "scrapped": set(),
}
WARRANTY: dict[str, set[str]] = {
    "pending_registration": {"active", "expired", "void"},
    "active": {"expired", "void", "exhausted"},
    "expired": set(),
    "void": set(),
    "exhausted": set(),
}
CLAIM: dict[str, set[str]] = {
    "draft": {"submitted"},
    "submitted": {"info_requested", "approved", "denied"},
    "info_requested": {"submitted", "denied"},
    "approved": {"credited", "denied"},
    "denied": {"submitted", "closed"},
    "credited": {"closed"},
    "closed": set(),
}


@pytest.mark.parametrize(
    ("table", "truths", "transitions"),
    [
        ("installed_equipment", ["installed_equipment_removed_has_day"], EQUIPMENT),
        ("equipment_warranty", [], WARRANTY),
        ("warranty_claim", [], CLAIM),
    ],
)
def test_the_state_machine_refuses_every_other_transition(
    app: Connection,
    shop: Shop,
    table: str,
    truths: list[str],
    transitions: dict[str, set[str]],
) -> None:
    claim(app, warrant(app, install(app, shop)), "2025-06-01")
    app.execute(
        "UPDATE hs.warranty_claim SET submitted_on = '2025-06-02', credited_on = '2025-06-03',"
        " denial_reason = 'Late'"
    )
    app.execute("RESET ROLE")
    for truth in truths:
        app.execute(f"ALTER TABLE hs.{table} DROP CONSTRAINT {truth}".encode())
    for before in transitions:
        for after in transitions.keys() - {before}:
            allowed = may_become(app, f"hs.{table}", before, after)
            assert allowed == (after in transitions[before]), (before, after)


@pytest.mark.parametrize("action", ["replaced", "removed", "repaired"])
def test_what_a_job_replaced_is_gone(app: Connection, shop: Shop, action: str) -> None:
    unit = install(app, shop)
    app.execute(
        "INSERT INTO hs.work_order_equipment (business_id, work_order_id, installed_equipment_id,"
        f" service_action) VALUES ({TENANT}, %s, %s, %s)",
        [add_work_order(app), unit, action],
    )
    assert one(app, "SELECT status FROM hs.installed_equipment") == (
        "active" if action == "repaired" else "removed"
    )
