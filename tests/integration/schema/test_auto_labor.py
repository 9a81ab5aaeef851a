"""Operations overlap in twos, packages name what they sell, and a fleet agrees on one price."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

DISCOUNT = {"agreement_kind": "labor_discount", "cap_amount": None}
MARKUP = {"agreement_kind": "parts_cost_plus", "cap_amount": None}


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("labor_operation", {"action": "paint"}, "action_known"),
        ("labor_operation", {"work_kind": "magic"}, "work_known"),
        ("labor_operation", {"skill_level": "novice"}, "skill_known"),
        ("labor_operation", {"work_kind": "ev_high_voltage"}, "high_voltage_is_certified"),
        ("labor_operation", {"required_ase_code": "A10"}, "ase_shape"),
        ("labor_operation", {"required_ase_code": "D1"}, "ase_shape"),
        ("labor_time", {"time_source": "rumor"}, "source_known"),
        ("labor_time", {"book_hours": 0}, "book_bounded"),
        ("labor_time", {"book_hours": 120.5}, "book_bounded"),
        ("labor_time", {"warranty_hours": 1.1}, "warranty_within_book"),
        ("labor_time", {"severe_service_hours": 0.9}, "severe_takes_longer"),
        ("labor_time", {"actual_median_hours": 1}, "history_has_samples"),
        ("labor_overlap", {"overlap_kind": "partly"}, "kind_known"),
        ("labor_overlap", {"source": "rumor"}, "source_known"),
        ("labor_overlap", {"overlap_kind": "deduct"}, "deducts_hours"),
        ("labor_overlap", {"deduct_hours": 0.5}, "deducts_hours"),
        ("labor_overlap", {"overlap_kind": "deduct", "deduct_hours": 0}, "bounded"),
        ("labor_overlap", {"max_deduct_pct": 101}, "bounded"),
        ("canned_job", {"job_group": "party"}, "group_known"),
        ("canned_job", {"season": "spring"}, "season_known"),
        ("canned_job", {"price_mode": "guess", "fixed_price": 1}, "price_mode_known"),
        ("canned_job", {"is_online_bookable": True}, "bookable_has_duration"),
        ("canned_job", {"price_mode": "fixed_total"}, "fixed_has_price"),
        ("canned_job", {"fixed_price": 1}, "fixed_has_price"),
        ("canned_job", {"default_hours": -1}, "amounts_not_negative"),
        ("canned_job", {"price_mode": "fixed_labor", "fixed_price": -1}, "amounts_not_negative"),
        ("canned_job_line", {"line_kind": "gift"}, "kind_known"),
        ("canned_job_line", {"qty_rule": "per_seat"}, "qty_rule_known"),
        ("canned_job_line", {"default_qty": 0}, "quantity_positive"),
        ("canned_job_line", {"discount_pct": 101}, "discount_bounded"),
        ("canned_job_line", {"default_hours": -1}, "amounts_not_negative"),
        ("canned_job_line", {"unit_price": -1}, "amounts_not_negative"),
        ("canned_job_line", {"line_kind": "labor"}, "names_its_kind"),
        ("canned_job_line", {"line_kind": "part"}, "names_its_kind"),
        ("canned_job_line", {"line_kind": "part_type"}, "names_its_kind"),
        ("maintenance_interval", {"schedule_kind": "lunar"}, "schedule_known"),
        ("maintenance_interval", {"priority": "whim"}, "priority_known"),
        ("maintenance_interval", {"interval_distance": 0}, "positive"),
        ("maintenance_interval", {"first_due_months": 0}, "positive"),
        ("maintenance_interval", {"interval_distance": None}, "falls_due"),
        ("maintenance_interval", {"is_indicator_driven": True}, "indicator_has_code"),
        ("fleet_price_agreement", {"agreement_kind": "gift", "cap_amount": None}, "kind_known"),
        ("fleet_price_agreement", {"duty_class": "feather"}, "duty_class_known"),
        ("fleet_price_agreement", {"cap_amount": None}, "cap_has_amount"),
        ("fleet_price_agreement", {**DISCOUNT, "adjust_pct": 5}, "adjusts"),
        ("fleet_price_agreement", {**DISCOUNT, "adjust_pct": -101}, "adjusts"),
        ("fleet_price_agreement", {**MARKUP, "adjust_pct": -5}, "adjusts"),
        ("fleet_price_agreement", {**MARKUP, "adjust_pct": 301}, "adjusts"),
        ("fleet_price_agreement", {**DISCOUNT, "adjust_pct": None}, "adjusts"),
        ("fleet_price_agreement", {**MARKUP, "adjust_pct": None}, "adjusts"),
        ("fleet_price_agreement", {"adjust_pct": -5}, "adjusts"),
        ("fleet_price_agreement", {"fixed_price": 50}, "fixed_job_has_price"),
        ("fleet_price_agreement", {"ends_on": "2026-05-03"}, "ends_after_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"auto.{table}", **columns)


@pytest.mark.parametrize("code", ["A1", "L3", "X1"])
def test_a_certificate_is_a_letter_and_a_digit(app: Connection, code: str) -> None:
    row(app, "auto.labor_operation", required_ase_code=code)


def test_a_source_has_one_time_for_a_build(app: Connection) -> None:
    known = {
        "labor_operation_id": row(app, "auto.labor_operation"),
        "vehicle_configuration_id": row(app, "auto.vehicle_configuration"),
    }
    row(app, "auto.labor_time", time_source="guide_a", warranty_hours=1, **known)
    row(app, "auto.labor_time", time_source="guide_b", severe_service_hours=1, **known)
    with pytest.raises(errors.UniqueViolation, match="labor_time"):
        row(app, "auto.labor_time", time_source="guide_a", **known)


class TestOverlap:
    """What two operations share."""

    @pytest.fixture
    def two(self, app: Connection) -> dict[str, Any]:
        return {
            "primary_labor_operation_id": row(app, "auto.labor_operation"),
            "overlapping_labor_operation_id": row(app, "auto.labor_operation"),
        }

    def test_is_of_two(self, app: Connection) -> None:
        one = row(app, "auto.labor_operation")
        with pytest.raises(errors.CheckViolation, match="labor_overlap_of_two"):
            row(
                app,
                "auto.labor_overlap",
                primary_labor_operation_id=one,
                overlapping_labor_operation_id=one,
            )

    def test_deducts_hours(self, app: Connection, two: dict[str, Any]) -> None:
        row(app, "auto.labor_overlap", overlap_kind="deduct", deduct_hours=0.7, **two)

    def test_is_said_once_for_all_builds(self, app: Connection, two: dict[str, Any]) -> None:
        row(app, "auto.labor_overlap", **two)
        with pytest.raises(errors.UniqueViolation, match="labor_overlap"):
            row(app, "auto.labor_overlap", **two)

    def test_is_said_once_for_a_build(self, app: Connection, two: dict[str, Any]) -> None:
        build = row(app, "auto.vehicle_configuration")
        row(app, "auto.labor_overlap", **two)
        row(app, "auto.labor_overlap", vehicle_configuration_id=build, **two)
        with pytest.raises(errors.UniqueViolation, match="labor_overlap"):
            row(app, "auto.labor_overlap", vehicle_configuration_id=build, **two)


class TestPackage:
    """The lines of a canned job."""

    def test_a_line_names_its_kind_only(self, app: Connection) -> None:
        part = row(app, "auto.part")
        row(app, "auto.canned_job_line", line_kind="part", part_id=part)
        with pytest.raises(errors.CheckViolation, match="canned_job_line_names_its_kind"):
            row(app, "auto.canned_job_line", part_id=part)

    def test_sells_no_inactive_operation(self, app: Connection) -> None:
        retired = row(app, "auto.labor_operation", name="Points and condenser", is_active=False)
        with pytest.raises(errors.CheckViolation, match="operation Points and condenser is not"):
            row(app, "auto.canned_job_line", line_kind="labor", labor_operation_id=retired)

    def test_does_not_change_to_an_inactive_operation(self, app: Connection) -> None:
        active = row(app, "auto.labor_operation")
        retired = row(app, "auto.labor_operation", is_active=False)
        row(app, "auto.canned_job_line", line_kind="labor", labor_operation_id=active)
        with pytest.raises(errors.CheckViolation, match="is not sold any more"):
            app.execute("UPDATE auto.canned_job_line SET labor_operation_id = %s", [retired])

    def test_keeps_what_is_retired_later(self, app: Connection) -> None:
        operation = row(app, "auto.labor_operation")
        row(app, "auto.canned_job_line", line_kind="labor", labor_operation_id=operation)
        app.execute("UPDATE auto.labor_operation SET is_active = false")
        changed = app.execute("UPDATE auto.canned_job_line SET default_hours = 2")
        assert changed.rowcount == 1


class TestFleetAgreement:
    """What a fleet pays instead."""

    @pytest.fixture
    def agreed(self, app: Connection) -> dict[str, Any]:
        """A cap on a package for light vehicles, in the first half of the year."""
        agreed = {
            "fleet_account_id": row(app, "auto.fleet_account"),
            "canned_job_id": row(app, "auto.canned_job"),
            "effective_on": "2026-01-01",
            "ends_on": "2026-06-30",
        }
        row(app, "auto.fleet_price_agreement", **agreed)
        return agreed

    @pytest.mark.parametrize(
        "other",
        [
            {},
            {"cap_amount": 120},
            {"effective_on": "2026-06-30", "ends_on": None},
            {"effective_on": "2025-01-01", "ends_on": "2026-01-01"},
        ],
        ids=["same", "another cap", "last day", "first day"],
    )
    def test_is_one_at_a_time(
        self, app: Connection, agreed: dict[str, Any], other: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.ExclusionViolation, match="agreement_one_at_a_time"):
            row(app, "auto.fleet_price_agreement", **{**agreed, **other})

    @pytest.mark.parametrize(
        "other",
        [
            {"effective_on": "2026-07-01", "ends_on": None},
            {"duty_class": "heavy"},
            {"agreement_kind": "fixed_job", "cap_amount": None, "fixed_price": 90},
            {"canned_job_id": None},
        ],
        ids=["next time", "another class", "another kind", "everything"],
    )
    def test_stands_beside_others(
        self, app: Connection, agreed: dict[str, Any], other: dict[str, Any]
    ) -> None:
        row(app, "auto.fleet_price_agreement", **{**agreed, **other})

    @pytest.mark.parametrize("target", ["canned_job", "part_type", "labor_operation"])
    def test_is_of_one_fleet_and_target(
        self, app: Connection, agreed: dict[str, Any], target: str
    ) -> None:
        free = {**agreed, "canned_job_id": None}
        another = {**free, f"{target}_id": row(app, f"auto.{target}")}
        row(app, "auto.fleet_price_agreement", **another)
        fleet = row(app, "auto.fleet_account")
        row(app, "auto.fleet_price_agreement", **{**another, "fleet_account_id": fleet})
        with pytest.raises(errors.ExclusionViolation, match="agreement_one_at_a_time"):
            row(app, "auto.fleet_price_agreement", **another)

    def test_on_everything_is_one_at_a_time(self, app: Connection) -> None:
        fleet: UUID = row(app, "auto.fleet_account")
        row(app, "auto.fleet_price_agreement", fleet_account_id=fleet)
        with pytest.raises(errors.ExclusionViolation, match="agreement_one_at_a_time"):
            row(app, "auto.fleet_price_agreement", fleet_account_id=fleet)

    def test_has_one_target(self, app: Connection, agreed: dict[str, Any]) -> None:
        operation = row(app, "auto.labor_operation")
        with pytest.raises(errors.CheckViolation, match="fleet_price_agreement_one_target"):
            row(app, "auto.fleet_price_agreement", **{**agreed, "labor_operation_id": operation})

    def test_a_fixed_price_is_of_a_package(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="fixed_job_has_price"):
            row(
                app,
                "auto.fleet_price_agreement",
                agreement_kind="fixed_job",
                cap_amount=None,
                fixed_price=90,
            )
