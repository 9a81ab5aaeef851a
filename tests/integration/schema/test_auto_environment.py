"""Certified hands, matching cylinders, certificates mirrored, failed equipment out of service."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported, refused
from tests.integration.schema.test_hs_organization import one

CYLINDER = {
    "in_use": ("full", "empty", "returned", "sent_to_reclaim"),
    "full": ("in_use", "returned", "sent_to_reclaim"),
    "empty": ("in_use", "returned"),
    "sent_to_reclaim": ("empty", "returned"),
    "returned": (),
}
MANIFEST = {
    "draft": ("signed",),
    "signed": ("in_transit",),
    "in_transit": ("received", "exception"),
    "exception": ("received", "closed"),
    "received": ("closed",),
    "closed": (),
}


def edges(machine: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(before, after) for before, allowed in machine.items() for after in allowed]


def job(app: Connection) -> UUID:
    order = row(app, "auto.repair_order", vehicle_id=row(app, "auto.vehicle", vin=None))
    return row(app, "auto.repair_job", repair_order_id=order)


def certify(app: Connection, technician: UUID) -> Any:
    return row(
        app,
        "auto.technician_certification",
        technician_id=technician,
        program="epa_609",
        test_code="S609",
        certificate_number="C-1",
        status="valid",
        verified_at="2026-01-01",
    )


def cylinder(app: Connection, net: int, code: str = "r134a") -> Any:
    return row(
        app,
        "auto.refrigerant_cylinder",
        refrigerant_code=code,
        cylinder_kind="recovery",
        water_capacity_lb=50,
        net_weight_lb=net,
    )


def service(app: Connection, technician: UUID, **given: Any) -> None:
    machine = row(
        app,
        "auto.shop_equipment",
        equipment_kind="refrigerant_machine",
        certification_standard="sae_j2788",
        refrigerant_code="r134a",
    )
    columns = {
        "machine_equipment_id": machine,
        "technician_id": technician,
        "refrigerant_code": "r134a",
        "repair_job_id": job(app),
        "vehicle_id": row(app, "auto.vehicle", vin=None),
        "identifier_result": "pure",
        **given,
    }
    row(app, "auto.refrigerant_service", **columns)


def test_only_a_certified_technician_services_air_conditioning(app: Connection) -> None:
    technician = row(app, "auto.technician")
    with pytest.raises(errors.CheckViolation, match="section 609"):
        service(app, technician)


def test_a_service_moves_weight_between_cylinders(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    full, empty = cylinder(app, 20), cylinder(app, 1)
    service(
        app,
        technician,
        charge_cylinder_id=full,
        charged_lb=2,
        recovery_cylinder_id=empty,
        recovered_lb=1,
    )
    found = app.execute(
        "SELECT net_weight_lb FROM auto.refrigerant_cylinder ORDER BY net_weight_lb"
    ).fetchall()
    assert found == [(2,), (18,)]


def test_a_cylinder_of_another_refrigerant_is_refused(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    with pytest.raises(errors.CheckViolation, match="does not hold r134a"):
        service(app, technician, charge_cylinder_id=cylinder(app, 20, "r1234yf"))


def test_the_flag_follows_the_certificate(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    flag = "SELECT is_609_certified FROM auto.technician"
    assert app.execute(flag).fetchone() == (True,)
    app.execute("UPDATE auto.technician_certification SET status = 'revoked'")
    assert app.execute(flag).fetchone() == (False,)


def test_a_failed_inspection_takes_equipment_out_of_service_until_repaired(
    app: Connection,
) -> None:
    row(app, "auto.equipment_inspection", result="fail")
    status = "SELECT status FROM auto.shop_equipment"
    assert app.execute(status).fetchone() == ("out_of_service",)
    app.execute("UPDATE auto.equipment_inspection SET repaired_on = inspected_on")
    assert app.execute(status).fetchone() == ("in_service",)


def test_a_day_is_closed_twice_with_the_same_rows(app: Connection) -> None:
    shop = row(app, "auto.shop")
    for _ in range(2):
        app.execute("SELECT auto.close_shop_day(%s, '2026-05-04')", [shop])
    assert app.execute("SELECT count(*) FROM auto.shop_day_summary").fetchone() == (1,)


def bought(app: Connection, **given: Any) -> UUID:
    """A filled cylinder of 30 lb."""
    usual = {"refrigerant_code": "r134a", "cylinder_kind": "virgin", "water_capacity_lb": 40}
    return row(app, "auto.refrigerant_cylinder", **{**usual, **given})


@pytest.mark.parametrize("kind", ["virgin", "recycled"])
def test_a_filled_cylinder_over_2_lb_names_its_buyer(app: Connection, kind: str) -> None:
    with pytest.raises(errors.CheckViolation, match="over_2_lb_names_buyer"):
        bought(app, cylinder_kind=kind)


@pytest.mark.parametrize(
    "given", [{"water_capacity_lb": 2}, {"cylinder_kind": "recovery", "net_weight_lb": 0}]
)
def test_a_small_can_and_an_empty_cylinder_name_nobody(
    app: Connection, given: dict[str, Any]
) -> None:
    assert bought(app, **given)


def test_only_a_certified_technician_buys_refrigerant(app: Connection) -> None:
    technician = row(app, "auto.technician")
    with pytest.raises(errors.CheckViolation, match="may not buy refrigerant"), app.transaction():
        bought(app, purchased_by_technician_id=technician)
    certify(app, technician)
    assert bought(app, purchased_by_technician_id=technician)


def test_a_cylinder_is_filled_to_80_percent(app: Connection) -> None:
    assert cylinder(app, 40)
    with pytest.raises(errors.CheckViolation, match="filled_to_80_percent"):
        cylinder(app, 41)


def test_no_more_is_charged_than_a_cylinder_holds(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    with pytest.raises(errors.CheckViolation, match="filled_to_80_percent"):
        service(app, technician, charge_cylinder_id=cylinder(app, 1), charged_lb=2)


def test_a_machine_handles_its_refrigerant(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    with pytest.raises(errors.CheckViolation, match="does not handle r1234yf"):
        service(app, technician, refrigerant_code="r1234yf")


def test_contaminated_refrigerant_is_kept_apart_and_never_charged(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    mixed, clean = cylinder(app, 0, "mixed_contaminated"), cylinder(app, 0)
    dirty = {"identifier_result": "contaminated", "recovered_lb": 1}
    with pytest.raises(errors.CheckViolation, match="does not hold"), app.transaction():
        service(app, technician, recovery_cylinder_id=clean, **dirty)
    with pytest.raises(errors.CheckViolation, match="contaminated_not_charged"), app.transaction():
        service(app, technician, recovery_cylinder_id=mixed, charged_lb=1, **dirty)
    service(app, technician, recovery_cylinder_id=mixed, **dirty)


def test_no_more_than_a_tenth_over_the_specification_is_charged(app: Connection) -> None:
    technician = row(app, "auto.technician")
    certify(app, technician)
    service(app, technician, spec_charge_lb=1, charged_lb="1.1")
    with pytest.raises(errors.CheckViolation, match="charge_within_spec"):
        service(app, technician, spec_charge_lb=1, charged_lb="1.2")


def cylinder_in(app: Connection, status: str) -> UUID:
    return imported(
        app,
        "auto.refrigerant_cylinder",
        cylinder_kind="recovery",
        water_capacity_lb=50,
        reclaimer_epa_certificate="EPA-1",
        status=status,
    )


def manifest_in(app: Connection, status: str) -> UUID:
    return imported(app, "auto.waste_manifest", status=status)


@pytest.mark.parametrize(("before", "after"), edges(CYLINDER))
def test_a_cylinder_moves_as_its_machine_says(app: Connection, before: str, after: str) -> None:
    cylinder_in(app, before)
    app.execute("UPDATE auto.refrigerant_cylinder SET status = %s", [after])


@pytest.mark.parametrize(("before", "after"), refused(CYLINDER))
def test_a_cylinder_moves_only_as_its_machine_says(
    app: Connection, before: str, after: str
) -> None:
    cylinder_in(app, before)
    with pytest.raises(errors.Error, match=after):
        app.execute("UPDATE auto.refrigerant_cylinder SET status = %s", [after])


@pytest.mark.parametrize(("before", "after"), edges(MANIFEST))
def test_a_manifest_moves_as_its_machine_says(app: Connection, before: str, after: str) -> None:
    manifest_in(app, before)
    app.execute("UPDATE auto.waste_manifest SET status = %s", [after])


@pytest.mark.parametrize(("before", "after"), refused(MANIFEST))
def test_a_manifest_moves_only_as_its_machine_says(
    app: Connection, before: str, after: str
) -> None:
    manifest_in(app, before)
    with pytest.raises(errors.Error, match=after):
        app.execute("UPDATE auto.waste_manifest SET status = %s", [after])


def test_a_reclaimed_cylinder_names_the_reclaimer(app: Connection) -> None:
    cylinder(app, 20)
    with pytest.raises(errors.CheckViolation, match="reclaim_names_reclaimer"):
        app.execute("UPDATE auto.refrigerant_cylinder SET status = 'sent_to_reclaim'")


def shop_of(app: Connection, category: str) -> UUID:
    return row(app, "auto.shop", generator_category=category, epa_id_number="ILD000000001")


def stream(app: Connection, shop: UUID, **given: Any) -> UUID:
    usual = {
        "shop_id": shop,
        "waste_kind": "solvent",
        "is_hazardous": True,
        "epa_waste_codes": ["D001"],
        "un_number": "UN1268",
    }
    return row(app, "auto.waste_stream", **{**usual, **given})


def limit_of(app: Connection, waste_stream: UUID) -> Any:
    return one(
        app,
        "SELECT accumulation_limit_days FROM auto.waste_stream WHERE waste_stream_id = %s",
        waste_stream,
    )


UNIVERSAL = {
    "waste_kind": "lead_acid_battery",
    "is_hazardous": False,
    "is_universal_waste": True,
}


@pytest.mark.parametrize(
    ("category", "given", "days"),
    [
        ("lqg", {}, 90),
        ("sqg", {}, 180),
        ("sqg", {"is_hauled_over_200_mi": True}, 270),
        ("lqg", {"is_hauled_over_200_mi": True}, 90),
        ("vsqg", UNIVERSAL, 365),
        ("lqg", UNIVERSAL, 365),
    ],
)
def test_waste_stands_as_long_as_the_generator_category_allows(
    app: Connection, category: str, given: dict[str, Any], days: int
) -> None:
    shop = shop_of(app, category)
    assert limit_of(app, stream(app, shop, **given)) == days
    assert limit_of(app, stream(app, shop, accumulation_limit_days=days - 30, **given)) == days - 30
    with pytest.raises(errors.CheckViolation):
        stream(app, shop, accumulation_limit_days=days + 1, **given)


@pytest.mark.parametrize(
    ("category", "given"), [("vsqg", {}), ("lqg", {"is_hazardous": False, "waste_kind": "paint"})]
)
def test_other_waste_stands_without_limit(
    app: Connection, category: str, given: dict[str, Any]
) -> None:
    assert limit_of(app, stream(app, shop_of(app, category), **given)) is None


def test_a_shop_that_generates_more_tightens_its_limits(app: Connection) -> None:
    shop = shop_of(app, "vsqg")
    free, short = stream(app, shop), stream(app, shop, accumulation_limit_days=60)
    app.execute("UPDATE auto.shop SET generator_category = 'sqg'")
    assert (limit_of(app, free), limit_of(app, short)) == (180, 60)
    app.execute("UPDATE auto.shop SET generator_category = 'lqg'")
    assert (limit_of(app, free), limit_of(app, short)) == (90, 60)


def test_oil_mixed_with_solvent_becomes_hazardous(app: Connection) -> None:
    shop = shop_of(app, "sqg")
    oil = stream(
        app, shop, waste_kind="used_oil", is_hazardous=False, epa_waste_codes=[], un_number=None
    )
    mixed = "UPDATE auto.waste_stream SET is_mixed_with_solvent = true"
    with pytest.raises(errors.CheckViolation, match="hazardous_has_codes"), app.transaction():
        app.execute(mixed)
    app.execute(f"{mixed}, epa_waste_codes = '{{F002}}', un_number = 'UN1993'")
    assert one(app, "SELECT is_hazardous FROM auto.waste_stream")
    assert limit_of(app, oil) == 180


def line(app: Connection, manifest: UUID, received: float | None, number: int = 1) -> UUID:
    return row(
        app,
        "auto.waste_manifest_line",
        waste_manifest_id=manifest,
        line_no=number,
        total_qty=100,
        received_qty=received,
    )


@pytest.mark.parametrize(
    ("received", "kind"),
    [
        (None, "none"),
        (100, "none"),
        (90, "none"),
        (110, "none"),
        (89, "quantity"),
        (111, "quantity"),
    ],
)
def test_a_quantity_off_by_more_than_a_tenth_is_a_discrepancy(
    app: Connection, received: float | None, kind: str
) -> None:
    manifest = row(app, "auto.waste_manifest")
    line(app, manifest, 100)
    line(app, manifest, received, 2)
    assert one(app, "SELECT discrepancy_kind FROM auto.waste_manifest") == kind


def test_a_discrepancy_goes_with_its_cause_and_others_stay(app: Connection) -> None:
    kind = "SELECT discrepancy_kind FROM auto.waste_manifest"
    line(app, row(app, "auto.waste_manifest"), 50)
    app.execute("UPDATE auto.waste_manifest_line SET received_qty = 99")
    assert one(app, kind) == "none"
    app.execute("UPDATE auto.waste_manifest SET discrepancy_kind = 'rejection'")
    app.execute("UPDATE auto.waste_manifest_line SET received_qty = 50")
    assert one(app, kind) == "rejection"


def tank_of(app: Connection, shop: UUID, kind: str = "oil_tank") -> UUID:
    return row(app, "auto.shop_equipment", shop_id=shop, equipment_kind=kind, capacity_lb=740)


def oil(app: Connection, tank: UUID, shop: UUID, **given: Any) -> UUID:
    usual = {
        "tank_equipment_id": tank,
        "shop_id": shop,
        "transaction_kind": "tank_gauge",
        "transporter_epa_id": "ILR000138479",
        "bill_of_lading_ref": "BOL-1",
    }
    return row(app, "auto.used_oil_transaction", **{**usual, **given})


def test_a_tank_holds_no_more_than_its_capacity(app: Connection) -> None:
    shop = row(app, "auto.shop")
    tank = tank_of(app, shop)
    oil(app, tank, shop, tank_level_gal=100)
    with pytest.raises(errors.CheckViolation, match="holds 100 gallons at most"):
        oil(app, tank, shop, tank_level_gal=101)


def test_oil_stands_in_an_oil_tank_of_the_shop(app: Connection) -> None:
    shop, other = row(app, "auto.shop"), row(app, "auto.shop")
    with pytest.raises(errors.CheckViolation, match="no oil tank"), app.transaction():
        oil(app, tank_of(app, shop, "compressor"), shop)
    with pytest.raises(errors.CheckViolation, match="no oil tank"):
        oil(app, tank_of(app, other), shop)


def test_halogens_block_hauling_until_they_are_rebutted(app: Connection) -> None:
    shop = row(app, "auto.shop")
    tank = tank_of(app, shop)
    haul = {"transaction_kind": "hauled", "occurred_at": "2026-05-05 10:00+00"}
    tested = oil(app, tank, shop, halogen_test_ppm=1200, halogen_result="above_1000")
    with pytest.raises(errors.CheckViolation, match="above 1000 ppm"), app.transaction():
        oil(app, tank, shop, **haul)
    oil(app, tank_of(app, shop), shop, **haul)
    app.execute(
        "UPDATE auto.used_oil_transaction SET halogen_result = 'rebutted'"
        " WHERE used_oil_transaction_id = %s",
        [tested],
    )
    oil(app, tank, shop, **haul)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"transaction_kind": "hauled", "halogen_result": "above_1000"}, "halogens_block_hauling"),
        ({"halogen_test_ppm": 1001}, "halogen_result_as_tested"),
        ({"transaction_kind": "hauled", "bill_of_lading_ref": None}, "hauled_has_transporter"),
        ({"transaction_kind": "heater_burned"}, "heater_bounded"),
        ({"transaction_kind": "heater_burned", "heater_btu_rating": 500001}, "heater_bounded"),
    ],
)
def test_oil_is_not_moved_against_its_rules(
    app: Connection, given: dict[str, Any], rule: str
) -> None:
    shop = row(app, "auto.shop")
    with pytest.raises(errors.CheckViolation, match=rule):
        oil(app, tank_of(app, shop), shop, **given)


def clock(app: Connection) -> list[tuple[Any, ...]]:
    return app.execute(
        "SELECT clock_kind, due_on::text FROM auto.v_waste_clock ORDER BY clock_kind"
    ).fetchall()


def test_the_clock_of_a_container_runs_from_its_first_waste(app: Connection) -> None:
    shop = shop_of(app, "lqg")
    stream(app, shop)
    assert clock(app) == []
    stream(app, shop, accumulation_started_on="2026-05-01")
    assert clock(app) == [("container", "2026-07-30")]


def test_the_clocks_of_a_manifest_stop_with_copy_and_report(app: Connection) -> None:
    imported(app, "auto.waste_manifest", status="in_transit", shipped_on="2026-05-01")
    assert clock(app) == [("exception_report", "2026-06-15"), ("signed_copy", "2026-06-05")]
    app.execute("UPDATE auto.waste_manifest SET exception_report_on = '2026-06-14'")
    assert clock(app) == [("signed_copy", "2026-06-05")]
    app.execute("UPDATE auto.waste_manifest SET copy_due_on = '2026-05-31'")
    assert clock(app) == [("signed_copy", "2026-05-31")]
    app.execute("UPDATE auto.waste_manifest SET status = 'received'")
    assert clock(app) == []


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"manifest_kind": "epa_8700_22"}, "number_of_epa"),
        ({"facility_received_on": "2026-05-03"}, "received_after_shipped"),
        ({"retain_until_on": "2029-05-03"}, "retained_three_years"),
    ],
)
def test_a_manifest_is_numbered_dated_and_kept(
    app: Connection, given: dict[str, Any], rule: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rule):
        row(app, "auto.waste_manifest", shipped_on="2026-05-04", **given)
