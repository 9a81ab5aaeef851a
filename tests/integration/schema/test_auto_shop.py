"""Bays take work that their lifts can bear; rates and bands hold one at a time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_workforce import may_become

EQUIPMENT = {
    "in_service": {"due", "out_of_service", "retired"},
    "due": {"in_service", "out_of_service", "retired"},
    "out_of_service": {"in_service", "retired"},
    "retired": set(),
}
BAY = {
    "open": {"occupied", "out_of_service", "retired"},
    "occupied": {"open", "out_of_service"},
    "out_of_service": {"open", "retired"},
    "retired": set(),
}


@pytest.fixture
def shop(app: Connection) -> UUID:
    """A shop of the tenant."""
    return row(app, "auto.shop")


def add_lift(connection: Connection, shop: UUID, **given: Any) -> UUID:
    return row(
        connection, "auto.shop_equipment", **{"shop_id": shop, "equipment_kind": "lift", **given}
    )


@pytest.mark.parametrize("category", ["sqg", "lqg"])
def test_a_generator_of_waste_has_an_epa_number(app: Connection, category: str) -> None:
    row(app, "auto.shop", generator_category="vsqg")
    row(app, "auto.shop", generator_category=category, epa_id_number="ILD000000001")
    with pytest.raises(errors.CheckViolation, match="shop_generator_has_epa_id"):
        row(app, "auto.shop", generator_category=category)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"epa_id_number": "12345"}, "shop_epa_id_shape"),
        ({"shop_supplies_pct": 15.01}, "shop_supplies_bounded"),
        ({"shop_supplies_cap_amount": -1}, "shop_supplies_bounded"),
        ({"hazardous_waste_fee": -1}, "shop_hazardous_waste_fee_not_negative"),
        ({"overbooking_limit_pct": 151}, "shop_overbooking_limit_bounded"),
    ],
)
def test_a_shop_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.shop", **columns)


MACHINE = {
    "equipment_kind": "refrigerant_machine",
    "refrigerant_code": "r1234yf",
    "certification_standard": "sae_j2843",
}


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({**MACHINE, "certification_standard": "none"}, "refrigerant_machine_certified"),
        ({**MACHINE, "refrigerant_code": "none"}, "refrigerant_only_of_machines"),
        ({"equipment_kind": "lift", "refrigerant_code": "r134a"}, "refrigerant_only_of_machines"),
        ({"equipment_kind": "lift", "certification_standard": "bar_97"}, "standard_fits_kind"),
        ({"equipment_kind": "balancer", "certification_standard": "ali_ctl"}, "standard_fits_kind"),
        ({"inspection_interval_days": 1831}, "interval_bounded"),
        (
            {"installed_on": "2026-01-02", "next_inspection_on": "2026-01-02"},
            "inspected_after_installation",
        ),
        ({"capacity_lb": 0}, "capacity_positive"),
    ],
)
def test_equipment_is_certified_for_what_it_does(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    row(app, "auto.shop_equipment", **MACHINE)
    with pytest.raises(errors.CheckViolation, match=f"shop_equipment_{truth}"):
        row(app, "auto.shop_equipment", **columns)


@pytest.mark.parametrize("before", EQUIPMENT)
def test_equipment_goes_out_of_service_and_back(app: Connection, shop: UUID, before: str) -> None:
    add_lift(app, shop)
    moves = {a for a in EQUIPMENT if may_become(app, "auto.shop_equipment", before, a)}
    assert moves - {before} == EQUIPMENT[before]


@pytest.mark.parametrize("before", BAY)
def test_a_bay_is_taken_and_freed(app: Connection, shop: UUID, before: str) -> None:
    row(app, "auto.bay", shop_id=shop)
    assert {a for a in BAY if may_become(app, "auto.bay", before, a)} - {before} == BAY[before]


def test_a_retired_bay_is_not_new(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as retired"):
        row(app, "auto.bay", status="retired")


def test_an_adas_bay_was_measured_level(app: Connection) -> None:
    row(app, "auto.bay", bay_kind="adas", is_level_certified=True, floor_flatness_mm=2)
    with pytest.raises(errors.CheckViolation, match="bay_adas_is_level"), app.transaction():
        row(app, "auto.bay", bay_kind="adas")
    with pytest.raises(errors.CheckViolation, match="bay_level_was_measured"):
        row(app, "auto.bay", is_level_certified=True)


def test_a_lift_stands_in_one_bay(app: Connection, shop: UUID) -> None:
    lift = add_lift(app, shop)
    row(app, "auto.bay", shop_id=shop, lift_equipment_id=lift)
    with pytest.raises(errors.UniqueViolation, match="bay_lift_equipment_idx"):
        row(app, "auto.bay", shop_id=shop, lift_equipment_id=lift)


def test_a_bay_has_a_lift_of_its_own_shop(app: Connection, shop: UUID) -> None:
    elsewhere = add_lift(app, row(app, "auto.shop"))
    balancer = add_lift(app, shop, equipment_kind="balancer")
    for lift in (elsewhere, balancer):
        with pytest.raises(errors.CheckViolation, match="no lift or rack"), app.transaction():
            row(app, "auto.bay", shop_id=shop, lift_equipment_id=lift)


def usable(connection: Connection, bay: UUID) -> tuple[bool, str | None]:
    found = connection.execute(
        "SELECT auto.bay_is_usable(%s), auto.bay_objection(%s)", [bay, bay]
    ).fetchone()
    assert found
    return found[0], found[1]


@pytest.mark.parametrize(
    ("status", "takes_work"),
    [("in_service", True), ("due", True), ("out_of_service", False), ("retired", False)],
)
def test_a_bay_takes_work_as_long_as_its_lift_does(
    app: Connection, shop: UUID, status: str, takes_work: bool
) -> None:
    lift = add_lift(app, shop, equipment_number="L7")
    bay = row(app, "auto.bay", shop_id=shop, bay_code="B1", lift_equipment_id=lift)
    app.execute("UPDATE auto.shop_equipment SET status = %s", [status])
    reason = None if takes_work else f"bay B1: lift L7 is {status.replace('_', ' ')}"
    assert usable(app, bay) == (takes_work, reason)


def test_a_bay_out_of_service_takes_no_work(app: Connection, shop: UUID) -> None:
    bay = row(app, "auto.bay", shop_id=shop, bay_code="B1")
    assert usable(app, bay) == (True, None)
    app.execute("UPDATE auto.bay SET status = 'occupied'")
    assert usable(app, bay) == (True, None), "it takes work for later"
    app.execute("UPDATE auto.bay SET status = 'out_of_service'")
    assert usable(app, bay) == (False, "bay B1 is out of service")


def test_a_bay_that_is_not_there_takes_no_work(app: Connection, shop: UUID) -> None:
    assert usable(app, shop)[0] is False


RATE: dict[str, Any] = {
    "work_kind": "mechanical",
    "payer_kind": "customer",
    "effective_on": "2026-01-01",
}


def test_one_rate_holds_at_a_time(app: Connection, shop: UUID) -> None:
    row(app, "auto.labor_rate", shop_id=shop, ends_on="2026-06-01", **RATE)
    row(app, "auto.labor_rate", shop_id=shop, **{**RATE, "effective_on": "2026-06-01"})
    row(app, "auto.labor_rate", shop_id=shop, **{**RATE, "work_kind": "body"})
    row(app, "auto.labor_rate", shop_id=shop, **{**RATE, "payer_kind": "warranty"})
    with pytest.raises(errors.ExclusionViolation, match="labor_rate_one_at_a_time"):
        row(app, "auto.labor_rate", shop_id=shop, **{**RATE, "effective_on": "2026-05-31"})


def test_a_fleet_has_a_rate_beside_that_of_all_fleets(app: Connection, shop: UUID) -> None:
    of_fleets = {**RATE, "shop_id": shop, "payer_kind": "fleet"}
    fleets = [row(app, "auto.fleet_account") for _ in range(2)]
    row(app, "auto.labor_rate", **of_fleets)
    for fleet in fleets:
        row(app, "auto.labor_rate", **of_fleets, fleet_account_id=fleet)
    with pytest.raises(errors.ExclusionViolation, match="labor_rate_one_at_a_time"):
        row(app, "auto.labor_rate", **of_fleets, fleet_account_id=fleets[0])


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"hourly_rate_amount": 0}, "amount_positive"),
        ({"refinish_material_rate_amount": 40}, "material_only_of_refinish"),
        ({"ends_on": "2026-01-01"}, "ends_after_begin"),
    ],
)
def test_a_rate_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    row(
        app,
        "auto.labor_rate",
        **{**RATE, "work_kind": "refinish"},
        refinish_material_rate_amount=40,
    )
    with pytest.raises(errors.CheckViolation, match=f"labor_rate_{truth}"):
        row(app, "auto.labor_rate", **{**RATE, **columns})


def test_a_fleet_and_an_insurer_pay_as_such(app: Connection) -> None:
    fleet = row(app, "auto.fleet_account")
    with pytest.raises(errors.CheckViolation, match="labor_rate_fleet_pays_as_fleet"):
        row(app, "auto.labor_rate", **RATE, fleet_account_id=fleet)


def add_band(connection: Connection, shop: UUID, low: int, high: int | None, **given: Any) -> UUID:
    columns = {"matrix_code": "PARTS", "matrix_kind": "parts", **given}
    return row(
        connection, "auto.price_matrix", shop_id=shop, min_cost=low, max_cost=high, **columns
    )


def test_a_cost_is_in_one_band_of_a_matrix(app: Connection, shop: UUID) -> None:
    add_band(app, shop, 0, 10)
    add_band(app, shop, 10, None)
    add_band(app, shop, 0, 10, matrix_code="OEM")
    with pytest.raises(errors.ExclusionViolation, match="price_matrix_one_band_of_a_cost"):
        add_band(app, shop, 9, 10)


def test_the_margin_follows_from_the_multiplier(app: Connection, shop: UUID) -> None:
    add_band(app, shop, 0, 10, multiplier=3)
    assert one(app, "SELECT margin_pct FROM auto.price_matrix") == Decimal("66.6667")


@pytest.mark.parametrize(
    ("band", "truth"),
    [
        ({"multiplier": Decimal("0.99")}, "sells_above_cost"),
        ({"high": 5}, "band_is_whole"),
        ({"low": -1}, "band_is_whole"),
        ({"ends_on": "2026-05-04", "effective_on": "2026-05-04"}, "ends_after_begin"),
    ],
)
def test_a_band_is_plausible(app: Connection, shop: UUID, band: dict[str, Any], truth: str) -> None:
    columns = dict(band)
    low, high = columns.pop("low", 5), columns.pop("high", 10)
    with pytest.raises(errors.CheckViolation, match=f"price_matrix_{truth}"):
        add_band(app, shop, low, high, **columns)
