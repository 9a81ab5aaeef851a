"""Items, their units and where they lie: quantities convert or are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after
from tests.integration.schema.rows import imported, row

DAY = "2026-05-04 10:00+00"


@dataclass
class Shelf:
    """An item that lies in one area of a site."""

    item: UUID
    area: UUID
    place: UUID


def make_shelf(connection: Connection, **item: Any) -> Shelf:
    place = row(connection, "rest.location", timezone="UTC")
    area = row(connection, "rest.storage_area", location_id=place, storage_kind="walk_in")
    return Shelf(row(connection, "rest.inventory_item", **item), area, place)


def receive(
    connection: Connection,
    shelf: Shelf,
    amount: float,
    lot: str | None = None,
    use_by: str | None = None,
    cost: float = 2,
) -> UUID | None:
    """The lot that came in; None where it came without one."""
    found = connection.execute(
        "SELECT rest.receive_stock(%s, %s, %s::numeric, %s::numeric, source_ref => %s, lot => %s,"
        " use_by => %s::date, happened => %s)",
        [shelf.item, shelf.area, amount, cost, uuid4(), lot, use_by, DAY],
    ).fetchone()
    assert found
    lot_or_none: UUID | None = found[0]
    return lot_or_none


def consume(connection: Connection, shelf: Shelf, amount: float, **given: Any) -> list[Any]:
    """(lot code, quantity) of the movements, in their order."""
    values = {"source_ref": uuid4(), "happened": DAY, **given}
    named = "".join(f", {k} => %({k})s" for k in values)
    return connection.execute(
        "SELECT l.lot_code, m.quantity::float8 FROM rest.consume_stock(%(item)s, %(place)s,"
        f" %(amount)s::numeric{named}) WITH ORDINALITY AS m LEFT JOIN rest.stock_lot AS l"
        " USING (stock_lot_id) ORDER BY m.ordinality".encode(),
        {"item": shelf.item, "place": shelf.place, "amount": amount, **values},
    ).fetchall()


def on_hand(connection: Connection, shelf: Shelf) -> Any:
    found = connection.execute(
        "SELECT on_hand_qty FROM rest.stock_level WHERE inventory_item_id = %s"
        " AND storage_area_id = %s",
        [shelf.item, shelf.area],
    ).fetchone()
    return found[0] if found else None


def differences(connection: Connection) -> list[Any]:
    return connection.execute("SELECT said, found FROM rest.stock_differences()").fetchall()


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("unit_of_measure", {"dimension": "time"}, "dimension_known"),
        ("unit_of_measure", {"unit_system": "roman"}, "unit_system_known"),
        ("unit_of_measure", {"factor_to_base": 0}, "factor_to_base_positive"),
        ("unit_of_measure", {"is_base": True, "factor_to_base": 2}, "base_is_one"),
        (
            "unit_of_measure",
            {"is_base": True, "factor_to_base": None, "unit_system": "trade"},
            "base_is_one",
        ),
        ("unit_of_measure", {"factor_to_base": None}, "only_trade_units_vary"),
        ("unit_of_measure", {"decimals": 5}, "decimals_bounded"),
        ("unit_of_measure", {"decimals": -1}, "decimals_bounded"),
        ("inventory_category", {"cost_group": "labor"}, "cost_group_known"),
        ("inventory_category", {"count_frequency": "hourly"}, "count_frequency_known"),
        ("inventory_category", {"target_cost_pct": 101}, "target_bounded"),
        ("inventory_item", {"item_kind": "dish"}, "kind_known"),
        ("inventory_item", {"storage_temp_class": "warm"}, "storage_temp_class_known"),
        ("inventory_item", {"cost_method": "lifo"}, "cost_method_known"),
        ("inventory_item", {"abc_class": "d"}, "abc_class_known"),
        ("inventory_item", {"reorder_mode": "guess"}, "reorder_mode_known"),
        ("inventory_item", {"default_yield_pct": 0}, "yield_bounded"),
        ("inventory_item", {"default_yield_pct": 101}, "yield_bounded"),
        ("inventory_item", {"average_cost": -1}, "cost_not_negative"),
        ("inventory_item", {"last_cost": -1}, "cost_not_negative"),
        ("inventory_item", {"shelf_life_days": -1}, "lives_on"),
        ("inventory_item", {"opened_life_hours": 0}, "lives_on"),
        ("inventory_item", {"is_tcs": True, "storage_temp_class": "dry"}, "controlled_is_cold"),
        ("inventory_item", {"gtin": "1234567"}, "gtin_is_digits"),
        ("inventory_item", {"gtin": "123456789012345"}, "gtin_is_digits"),
        ("inventory_item", {"gtin": "1234567X"}, "gtin_is_digits"),
        ("unit_conversion", {"conversion_kind": "guess"}, "kind_known"),
        ("unit_conversion", {"source": "hearsay"}, "source_known"),
        ("unit_conversion", {"factor": 0, "conversion_kind": "cooked"}, "factor_positive"),
        ("unit_conversion", {"source": "measured"}, "measured_has_date"),
        ("unit_conversion", {"conversion_kind": "density"}, "only_items_weigh"),
        ("unit_conversion", {"conversion_kind": "each_weight"}, "only_items_weigh"),
        ("unit_conversion", {"conversion_kind": "cooked"}, "only_items_weigh"),
        ("unit_conversion", {"tolerance_pct": 101}, "tolerance_bounded"),
        ("storage_area", {"storage_kind": "attic"}, "storage_kind_known"),
        ("storage_area", {"temp_min_c": 4, "temp_max_c": 4}, "range_is_a_range"),
        ("stock_level", {"min_qty": 5, "par_qty": 4}, "par_between_min_and_max"),
        ("stock_level", {"par_qty": 5, "max_qty": 4}, "par_between_min_and_max"),
        ("stock_level", {"min_qty": 5, "max_qty": 4}, "par_between_min_and_max"),
        ("stock_level", {"min_qty": -1}, "par_between_min_and_max"),
        ("stock_level", {"reserved_qty": -1}, "reserved_not_negative"),
        ("stock_level", {"average_cost": -1}, "cost_not_negative"),
        ("stock_lot", {"source_kind": "gift"}, "source_kind_known"),
        ("stock_lot", {"status": "lost"}, "status_known"),
        ("stock_lot", {"initial_qty": 0}, "holds_part_of_what_came"),
        ("stock_lot", {"remaining_qty": 11}, "holds_part_of_what_came"),
        ("stock_lot", {"remaining_qty": -1}, "holds_part_of_what_came"),
        ("stock_lot", {"status": "depleted", "remaining_qty": 1}, "depleted_is_empty"),
        ("stock_lot", {"use_by_on": "2026-05-03"}, "used_after_receipt"),
        ("stock_lot", {"opened_at": DAY, "discard_at": DAY}, "discarded_after_opening"),
        ("stock_lot", {"unit_cost": -1}, "cost_not_negative"),
        ("stock_movement", {"movement_kind": "theft"}, "kind_known"),
        ("stock_movement", {"source_kind": "rumor"}, "source_kind_known"),
        ("stock_movement", {"quantity": 0}, "moves_something"),
        ("stock_movement", {"unit_cost": -1}, "cost_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    given = {"source_id": uuid4(), **columns} if table == "stock_movement" else columns
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        imported(app, f"rest.{table}", **given)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("unit_of_measure", {"unit_code": "KG"}),
        ("inventory_category", {"category_code": "DAIRY"}),
        ("inventory_item", {"item_code": "MILK"}),
        ("unit_conversion", {"from_unit_id": UUID(int=0), "to_unit_id": UUID(int=0)}),
        ("storage_area", {"location_id": UUID(int=0), "area_code": "COLD"}),
        ("stock_level", {"inventory_item_id": UUID(int=0), "storage_area_id": UUID(int=0)}),
        (
            "stock_lot",
            {
                "inventory_item_id": UUID(int=0),
                "storage_area_id": UUID(int=0),
                "lot_code": "L1",
            },
        ),
    ],
)
def test_there_is_one_of_a_kind(app: Connection, table: str, key: dict[str, Any]) -> None:
    parents = {
        "from_unit_id": "unit_of_measure",
        "to_unit_id": "unit_of_measure",
        "location_id": "location",
        "inventory_item_id": "inventory_item",
        "storage_area_id": "storage_area",
    }
    given = {
        column: row(app, f"rest.{parents[column]}") if column in parents else value
        for column, value in key.items()
    }
    row(app, f"rest.{table}", **given)
    with pytest.raises(errors.UniqueViolation, match=f"{table}_.*_key"):
        row(app, f"rest.{table}", **given)


def test_a_unit_does_not_become_itself(app: Connection) -> None:
    unit = row(app, "rest.unit_of_measure")
    with pytest.raises(errors.CheckViolation, match="unit_conversion_goes_elsewhere"):
        row(app, "rest.unit_conversion", from_unit_id=unit, to_unit_id=unit)


def test_a_dimension_has_one_base(app: Connection) -> None:
    row(app, "rest.unit_of_measure", dimension="mass", is_base=True)
    with pytest.raises(errors.UniqueViolation):
        row(app, "rest.unit_of_measure", dimension="mass", is_base=True)


class TestCategories:
    """Categories lie in one another, and none in itself."""

    CHANGE = (
        "UPDATE rest.inventory_category SET parent_category_id = %s"
        " WHERE inventory_category_id = %s"
    )

    @pytest.mark.parametrize("steps", [0, 1, 2])
    def test_none_is_above_itself(self, app: Connection, steps: int) -> None:
        line = [row(app, "rest.inventory_category", category_code="FOOD")]
        for _ in range(steps):
            line.append(row(app, "rest.inventory_category", parent_category_id=line[-1]))
        with pytest.raises(errors.CheckViolation, match="category FOOD would be above itself"):
            app.execute(self.CHANGE.encode(), [line[-1], line[0]])

    def test_it_is_moved_elsewhere(self, app: Connection) -> None:
        food, drinks = (row(app, "rest.inventory_category") for _ in range(2))
        wine = row(app, "rest.inventory_category", parent_category_id=food)
        app.execute(self.CHANGE.encode(), [drinks, wine])
        app.execute(self.CHANGE.encode(), [None, wine])

    def test_two_who_move_at_once_close_no_circle(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            one, two = (row(connection, "rest.inventory_category") for _ in range(2))
        change = self.CHANGE.encode()
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            first.execute(change, [one, two])
            with pytest.raises(errors.CheckViolation, match="would be above itself"):
                after(target, tenant, first, lambda c: c.execute(change, [two, one]))


class TestHome:
    """An item goes where it lies already, or else where it is cold enough."""

    def home(self, connection: Connection, item: UUID, place: UUID) -> Any:
        found = connection.execute("SELECT rest.home_area(%s, %s)", [item, place]).fetchone()
        assert found
        return found[0]

    @pytest.mark.parametrize(
        ("cold", "kind"),
        [
            ("frozen", "freezer"),
            ("chilled", "walk_in"),
            ("chilled", "reach_in"),
            ("ambient", "dry"),
            ("dry", "bar"),
        ],
    )
    def test_it_goes_where_it_is_cold_enough(self, app: Connection, cold: str, kind: str) -> None:
        place = row(app, "rest.location")
        item = row(app, "rest.inventory_item", storage_temp_class=cold)
        wrong = "dry" if kind not in ("dry", "bar") else "freezer"
        for at, sequence in ((wrong, 0), (kind, 5), (kind, 7)):
            area = row(
                app,
                "rest.storage_area",
                location_id=place,
                storage_kind=at,
                count_sequence=sequence,
            )
            if sequence == 5:
                right = area
        assert self.home(app, item, place) == right

    def test_it_goes_where_it_lies(self, app: Connection) -> None:
        shelf = make_shelf(app)
        dry = row(app, "rest.storage_area", location_id=shelf.place, storage_kind="dry")
        receive(app, Shelf(shelf.item, dry, shelf.place), 1)
        assert self.home(app, shelf.item, shelf.place) == dry

    def test_it_does_not_go_where_nothing_is_kept_any_more(self, app: Connection) -> None:
        shelf = make_shelf(app)
        receive(app, shelf, 1)
        app.execute("UPDATE rest.storage_area SET is_active = false")
        assert self.home(app, shelf.item, shelf.place) is None
        bar = row(app, "rest.storage_area", location_id=shelf.place, storage_kind="bar")
        assert self.home(app, shelf.item, shelf.place) == bar


class TestUnits:
    """Quantities are converted through base factors or what was measured for the item."""

    @pytest.fixture
    def units(self, app: Connection) -> dict[str, UUID]:
        known: dict[str, tuple[str, Any, str]] = {
            "g": ("mass", 1, "metric"),
            "kg": ("mass", 1000, "metric"),
            "ml": ("volume", 1, "metric"),
            "cup": ("volume", 240, "us"),
            "each": ("count", 1, "metric"),
            "case": ("count", None, "trade"),
        }
        return {
            code: row(
                app,
                "rest.unit_of_measure",
                unit_code=code,
                dimension=dimension,
                factor_to_base=factor,
                unit_system=system,
            )
            for code, (dimension, factor, system) in known.items()
        }

    @pytest.fixture
    def item(self, app: Connection, units: dict[str, UUID]) -> UUID:
        made = row(app, "rest.inventory_item", item_code="FLOUR")
        for start, end, factor, kind in (
            ("cup", "g", 120, "density"),
            ("case", "each", 24, "pack"),
            ("each", "g", 50, "each_weight"),
        ):
            row(
                app,
                "rest.unit_conversion",
                inventory_item_id=made,
                from_unit_id=units[start],
                to_unit_id=units[end],
                factor=factor,
                conversion_kind=kind,
            )
        return made

    def convert(
        self, connection: Connection, item: UUID, amount: float, start: UUID, end: UUID
    ) -> Any:
        found = connection.execute(
            "SELECT rest.convert_qty(%s, %s::numeric, %s, %s)::float8", [item, amount, start, end]
        ).fetchone()
        assert found
        return found[0]

    @pytest.mark.parametrize(
        ("amount", "start", "end", "expected"),
        [
            (3, "g", "g", 3),
            (2, "kg", "g", 2000),
            (500, "g", "kg", 0.5),
            (2, "cup", "g", 240),
            (1, "kg", "cup", 1000 / 120),
            (240, "ml", "kg", 0.12),
            (2, "case", "each", 48),
            (1, "case", "kg", 1.2),
            (2.4, "kg", "case", 2),
        ],
    )
    def test_it_finds_the_way(
        self,
        app: Connection,
        units: dict[str, UUID],
        item: UUID,
        amount: float,
        start: str,
        end: str,
        expected: float,
    ) -> None:
        found = self.convert(app, item, amount, units[start], units[end])
        assert found == pytest.approx(expected)

    def test_without_a_way_it_raises(
        self, app: Connection, units: dict[str, UUID], item: UUID
    ) -> None:
        other = row(app, "rest.inventory_item", item_code="SALT")
        with pytest.raises(errors.CheckViolation, match="no way leads from cup to g for SALT"):
            self.convert(app, other, 1, units["cup"], units["g"])

    def test_a_measure_that_is_not_in_use_leads_nowhere(
        self, app: Connection, units: dict[str, UUID], item: UUID
    ) -> None:
        app.execute("UPDATE rest.unit_conversion SET is_active = false")
        with pytest.raises(errors.CheckViolation, match="no way leads"):
            self.convert(app, item, 1, units["cup"], units["g"])

    def test_only_an_item_leads_across_dimensions(
        self, app: Connection, units: dict[str, UUID]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="only an item can tell the factor"):
            row(
                app,
                "rest.unit_conversion",
                from_unit_id=units["cup"],
                to_unit_id=units["g"],
            )

    def test_nothing_contradicts_the_base_factors(
        self, app: Connection, units: dict[str, UUID], item: UUID
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="one kg is 1000 g, not 900"):
            row(
                app,
                "rest.unit_conversion",
                inventory_item_id=item,
                from_unit_id=units["kg"],
                to_unit_id=units["g"],
                factor=900,
                conversion_kind="pack",
            )

    def test_what_moved_keeps_its_unit(self, app: Connection, units: dict[str, UUID]) -> None:
        shelf = make_shelf(app, item_code="RICE", stock_unit_id=units["kg"])
        change = "UPDATE rest.inventory_item SET stock_unit_id = %s WHERE inventory_item_id = %s"
        app.execute(change.encode(), [units["g"], shelf.item])
        receive(app, shelf, 1)
        with pytest.raises(errors.RestrictViolation, match="item RICE has moved"):
            app.execute(change.encode(), [units["kg"], shelf.item])
