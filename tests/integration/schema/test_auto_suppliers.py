"""A price sheet says one price for a quantity on a day, and a supplier sells a part once."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("supplier", {"supplier_kind": "bakery"}, "kind_known"),
        ("supplier", {"ordering_channel": "fax"}, "channel_known"),
        ("supplier", {"fill_rate_pct": 101}, "fill_rate_bounded"),
        ("supplier", {"restocking_fee_pct": 51}, "restocking_bounded"),
        ("supplier", {"return_window_days": -1}, "windows_not_negative"),
        ("supplier", {"core_window_days": -1}, "windows_not_negative"),
        ("supplier", {"terms_days": -1}, "windows_not_negative"),
        ("supplier", {"delivery_minutes": -1}, "windows_not_negative"),
        ("supplier", {"delivery_runs_count": -1}, "windows_not_negative"),
        ("supplier_part", {"cost_price": -1}, "costs_not_negative"),
        ("supplier_part", {"core_cost": -1}, "costs_not_negative"),
        ("supplier_part", {"list_price": -1}, "costs_not_negative"),
        ("supplier_part", {"available_qty": -1}, "quantities_not_negative"),
        ("supplier_part", {"min_order_qty": 0}, "quantities_not_negative"),
        ("supplier_part", {"lead_time_minutes": -1}, "quantities_not_negative"),
        ("supplier_part", {"preference_rank": 0}, "quantities_not_negative"),
        ("part_price", {"price_kind": "secret"}, "kind_known"),
        ("part_price", {"unit_price": -1}, "not_negative"),
        ("part_price", {"min_qty": 0}, "band_is_whole"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"auto.{table}", **columns)


# A range cannot be made of a price that ends before it begins, whichever check comes first.
@pytest.mark.parametrize(
    "columns", [{"min_qty": 5, "max_qty": 4}, {"ends_on": "2026-05-03"}], ids=["band", "time"]
)
def test_a_band_and_a_time_do_not_end_before_they_begin(
    app: Connection, columns: dict[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation, match=r"part_price_(band_is_whole|ends_after)"):
        row(app, "auto.part_price", **columns)


@pytest.mark.parametrize(
    "columns", [{"min_qty": 5, "max_qty": 5}, {"ends_on": "2026-05-04"}], ids=["band", "time"]
)
def test_a_price_may_be_of_one_quantity_or_day(app: Connection, columns: dict[str, Any]) -> None:
    row(app, "auto.part_price", **columns)


def test_a_code_names_one_supplier(app: Connection) -> None:
    row(app, "auto.supplier", supplier_code="NAPA")
    with pytest.raises(errors.UniqueViolation, match="supplier_code"):
        row(app, "auto.supplier", supplier_code="NAPA")


@pytest.mark.parametrize("warehouse", [None, "EAST"])
def test_a_warehouse_lists_a_part_once(app: Connection, warehouse: str | None) -> None:
    known = {"supplier_id": row(app, "auto.supplier"), "part_id": row(app, "auto.part")}
    row(app, "auto.supplier_part", warehouse_code=warehouse, **known)
    row(app, "auto.supplier_part", warehouse_code="WEST", **known)
    with pytest.raises(errors.UniqueViolation, match="supplier_part"):
        row(app, "auto.supplier_part", warehouse_code=warehouse, **known)


class TestPriceSheet:
    """Lines of one kind for one part: by quantity, time and supplier."""

    @pytest.fixture
    def line(self, app: Connection) -> dict[str, Any]:
        """One to nine pieces in the first half of the year, at the list of nobody special."""
        line = {
            "part_id": row(app, "auto.part"),
            "price_kind": "list",
            "min_qty": 1,
            "max_qty": 9,
            "effective_on": "2026-01-01",
            "ends_on": "2026-06-30",
        }
        row(app, "auto.part_price", **line)
        return line

    @pytest.mark.parametrize(
        "other",
        [
            {},
            {"min_qty": 9, "max_qty": 20},
            {"min_qty": 3, "max_qty": None},
            {"effective_on": "2026-06-30", "ends_on": None},
            {"effective_on": "2025-01-01", "ends_on": "2026-01-01"},
            {"unit_price": 7, "price_sheet_number": "2026-B"},
        ],
        ids=["same", "last of a band", "open band", "last day", "first day", "another sheet"],
    )
    def test_one_price_for_a_quantity_on_a_day(
        self, app: Connection, line: dict[str, Any], other: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.ExclusionViolation, match="part_price_one_at_a_time"):
            row(app, "auto.part_price", **{**line, **other})

    @pytest.mark.parametrize(
        "other",
        [
            {"min_qty": 10, "max_qty": None},
            {"effective_on": "2026-07-01", "ends_on": None},
            {"price_kind": "jobber"},
        ],
        ids=["next band", "next time", "another kind"],
    )
    def test_lines_follow_each_other(
        self, app: Connection, line: dict[str, Any], other: dict[str, Any]
    ) -> None:
        row(app, "auto.part_price", **{**line, **other})

    def test_a_supplier_has_its_own(self, app: Connection, line: dict[str, Any]) -> None:
        first, second = row(app, "auto.supplier"), row(app, "auto.supplier")
        row(app, "auto.part_price", supplier_id=first, **line)
        row(app, "auto.part_price", supplier_id=second, **line)
        with pytest.raises(errors.ExclusionViolation, match="part_price_one_at_a_time"):
            row(app, "auto.part_price", supplier_id=first, **line)

    def test_another_part_has_its_own(self, app: Connection, line: dict[str, Any]) -> None:
        row(app, "auto.part_price", **{**line, "part_id": row(app, "auto.part")})

    def test_a_line_that_ends_makes_room(self, app: Connection, line: dict[str, Any]) -> None:
        app.execute("UPDATE auto.part_price SET ends_on = '2026-03-31'")
        row(app, "auto.part_price", **{**line, "effective_on": "2026-04-01"})
