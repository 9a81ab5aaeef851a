"""Stock is the sum of its ledger; what expires first is used first; units convert or refuse."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row

LOT = {
    "available": {"quarantined", "recalled", "expired", "depleted"},
    "quarantined": {"available", "recalled", "expired", "depleted"},
    "recalled": {"available", "quarantined"},
    "expired": {"recalled", "depleted"},
    "depleted": {"available", "recalled"},
}
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
) -> UUID:
    found = connection.execute(
        "SELECT rest.receive_stock(%s, %s, %s::numeric, %s::numeric, source_ref => %s, lot => %s,"
        " use_by => %s::date, happened => %s)",
        [shelf.item, shelf.area, amount, cost, uuid4(), lot, use_by, DAY],
    ).fetchone()
    assert found
    return found[0]  # type: ignore[no-any-return]


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


@pytest.fixture
def shelf(app: Connection) -> Shelf:
    return make_shelf(app)


@pytest.fixture
def lots(app: Connection, shelf: Shelf) -> Shelf:
    """A lot to use by the 20th, one by the 10th that came later, and one without a date."""
    receive(app, shelf, 5, "LATE", "2026-05-20")
    receive(app, shelf, 4, "SOON", "2026-05-10")
    receive(app, shelf, 3, "ANY")
    return shelf


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("unit_of_measure", {"factor_to_base": 0}, "factor_to_base_positive"),
        ("unit_of_measure", {"is_base": True, "factor_to_base": 2}, "base_is_one"),
        ("unit_of_measure", {"factor_to_base": None}, "only_trade_units_vary"),
        ("unit_of_measure", {"decimals": 5}, "decimals_bounded"),
        ("inventory_category", {"target_cost_pct": 101}, "target_bounded"),
        ("inventory_item", {"default_yield_pct": 0}, "yield_bounded"),
        ("inventory_item", {"average_cost": -1}, "cost_not_negative"),
        ("inventory_item", {"shelf_life_days": -1}, "lives_on"),
        ("inventory_item", {"is_tcs": True, "storage_temp_class": "dry"}, "controlled_is_cold"),
        ("inventory_item", {"gtin": "12"}, "gtin_is_digits"),
        ("unit_conversion", {"source": "measured"}, "measured_has_date"),
        ("unit_conversion", {"conversion_kind": "density"}, "only_items_weigh"),
        ("unit_conversion", {"tolerance_pct": 101}, "tolerance_bounded"),
        ("storage_area", {"temp_min_c": 4, "temp_max_c": 4}, "range_is_a_range"),
        ("stock_level", {"min_qty": 5, "par_qty": 4}, "par_between_min_and_max"),
        ("stock_level", {"reserved_qty": -1}, "reserved_not_negative"),
        ("stock_lot", {"initial_qty": 0}, "holds_part_of_what_came"),
        ("stock_lot", {"use_by_on": "2026-05-03"}, "used_after_receipt"),
        ("stock_lot", {"opened_at": DAY, "discard_at": DAY}, "discarded_after_opening"),
        ("stock_movement", {"quantity": 0}, "moves_something"),
        ("stock_movement", {"quantity": -1}, "sign_by_kind"),
        ("stock_movement", {"movement_kind": "sale", "quantity": 1}, "sign_by_kind"),
        (
            "stock_movement",
            {"movement_kind": "waste", "quantity": -1, "is_reversal": True},
            "sign_by_kind",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    given = {"source_id": uuid4(), **columns} if table == "stock_movement" else columns
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **given)


def test_a_dimension_has_one_base(app: Connection) -> None:
    row(app, "rest.unit_of_measure", dimension="mass", is_base=True)
    with pytest.raises(errors.UniqueViolation):
        row(app, "rest.unit_of_measure", dimension="mass", is_base=True)


def test_no_category_is_above_itself(app: Connection) -> None:
    top = row(app, "rest.inventory_category")
    below = row(app, "rest.inventory_category", parent_category_id=top)
    with pytest.raises(errors.CheckViolation, match="would be above itself"):
        app.execute(
            "UPDATE rest.inventory_category SET parent_category_id = %s"
            " WHERE inventory_category_id = %s",
            [below, top],
        )


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


class TestLedger:
    """Levels and lots follow the ledger, which only grows."""

    def test_what_comes_in_lies_there(self, app: Connection, lots: Shelf) -> None:
        assert on_hand(app, lots) == 12
        assert differences(app) == []
        found = app.execute(
            "SELECT balance_after, business_date::text FROM rest.stock_movement"
            " ORDER BY balance_after DESC LIMIT 1"
        ).fetchone()
        assert found == (12, "2026-05-04")

    def test_receipts_weigh_the_average_cost(self, app: Connection, shelf: Shelf) -> None:
        receive(app, shelf, 10, "A", cost=2)
        receive(app, shelf, 30, "B", cost=4)
        found = app.execute(
            "SELECT i.average_cost, i.last_cost, l.average_cost FROM rest.inventory_item AS i"
            " JOIN rest.stock_level AS l USING (inventory_item_id)"
        ).fetchone()
        assert found == (Decimal("3.5"), Decimal(4), Decimal("3.5"))

    @pytest.mark.parametrize(("method", "cost"), [("average", 3), ("fifo", 2), ("last", 4)])
    def test_the_cost_is_that_of_the_method(
        self, app: Connection, method: str, cost: float
    ) -> None:
        shelf = make_shelf(app, cost_method=method)
        receive(app, shelf, 5, "A", "2026-05-10", cost=2)
        receive(app, shelf, 5, "B", "2026-05-20", cost=4)
        consume(app, shelf, 1)
        found = app.execute(
            "SELECT unit_cost FROM rest.stock_movement WHERE movement_kind = 'sale'"
        ).fetchone()
        assert found == (cost,)

    def test_more_of_a_lot_adds_to_it(self, app: Connection, shelf: Shelf) -> None:
        assert receive(app, shelf, 5, "A") == receive(app, shelf, 2, "A")
        found = app.execute("SELECT initial_qty, remaining_qty FROM rest.stock_lot").fetchall()
        assert found == [(7, 7)]

    def test_a_lot_keeps_as_long_as_its_item(self, app: Connection) -> None:
        receive(app, make_shelf(app, shelf_life_days=6), 5, "A")
        found = app.execute("SELECT use_by_on::text FROM rest.stock_lot").fetchone()
        assert found == ("2026-05-10",)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE rest.stock_level SET on_hand_qty = 99",
            "DELETE FROM rest.stock_level",
            "UPDATE rest.stock_lot SET remaining_qty = 1",
        ],
    )
    def test_nobody_writes_what_lies_there(self, app: Connection, lots: Shelf, change: str) -> None:
        with pytest.raises(errors.RestrictViolation, match="follows the ledger"):
            app.execute(change.encode())

    @pytest.mark.parametrize(
        ("table", "column"), [("stock_level", "on_hand_qty"), ("stock_lot", "remaining_qty")]
    )
    def test_levels_and_lots_start_empty(self, app: Connection, table: str, column: str) -> None:
        with pytest.raises(errors.RestrictViolation, match="follows the ledger"):
            row(app, f"rest.{table}", **{column: 1})

    def test_movements_stand(self, app: Connection, lots: Shelf) -> None:
        with pytest.raises(psycopg.Error, match="permission denied"):
            app.execute("UPDATE rest.stock_movement SET quantity = 1")

    @pytest.mark.parametrize("change", ["UPDATE {} SET is_reversal = true", "DELETE FROM {}"])
    def test_not_even_the_owner_changes_a_movement(
        self, app: Connection, lots: Shelf, change: str
    ) -> None:
        app.execute("RESET ROLE")
        with pytest.raises(errors.RestrictViolation, match="append only"):
            app.execute(change.format("rest.stock_movement").encode())

    @pytest.mark.parametrize(
        ("table", "column", "which", "found"),
        [
            ("stock_level", "on_hand_qty", "true", (13, 12)),
            ("stock_lot", "remaining_qty", "lot_code = 'SOON'", (3, 4)),
        ],
    )
    def test_a_quantity_that_was_typed_in_is_found(
        self,
        app: Connection,
        lots: Shelf,
        table: str,
        column: str,
        which: str,
        found: tuple[int, int],
    ) -> None:
        app.execute("RESET ROLE")
        app.execute(f"UPDATE rest.{table} SET {column} = {found[0]} WHERE {which}".encode())
        assert differences(app) == [found]

    def test_a_movement_is_of_the_item_of_its_lot(self, app: Connection, lots: Shelf) -> None:
        other = make_shelf(app)
        lot = receive(app, lots, 1, "MORE")
        with pytest.raises(errors.ForeignKeyViolation):
            row(
                app,
                "rest.stock_movement",
                inventory_item_id=other.item,
                storage_area_id=other.area,
                stock_lot_id=lot,
                movement_kind="waste",
                quantity=-1,
                source_id=uuid4(),
            )

    @pytest.mark.parametrize(("quantity", "kind"), [(-11, "waste"), (1, "count_adjustment")])
    def test_a_lot_holds_what_came_at_most_and_nothing_at_least(
        self, app: Connection, shelf: Shelf, quantity: int, kind: str
    ) -> None:
        lot = receive(app, shelf, 10, "A")
        with pytest.raises(errors.CheckViolation, match=r"lot A holds 10\.0000 of 10\.0000"):
            row(
                app,
                "rest.stock_movement",
                inventory_item_id=shelf.item,
                storage_area_id=shelf.area,
                stock_lot_id=lot,
                movement_kind=kind,
                quantity=quantity,
                source_id=uuid4(),
            )

    def test_a_document_is_reversed_once(self, app: Connection, lots: Shelf) -> None:
        document = uuid4()
        consume(app, lots, 6, source_ref=document)
        back = "SELECT rest.reverse_stock('check_item', %s)"
        assert app.execute(back.encode(), [document]).fetchone() == (2,)
        assert app.execute(back.encode(), [document]).fetchone() == (0,)
        assert on_hand(app, lots) == 12
        assert differences(app) == []

    def test_what_is_opened_is_thrown_away_in_time(self, app: Connection) -> None:
        receive(app, make_shelf(app, opened_life_hours=36), 5, "A")
        app.execute("UPDATE rest.stock_lot SET opened_at = %s", [DAY])
        found = app.execute(
            "SELECT extract(epoch FROM discard_at - opened_at)::int FROM rest.stock_lot"
        ).fetchone()
        assert found == (36 * 3600,)


class TestConsumption:
    """What expires first is used first, and what may not be used is not."""

    def test_what_expires_first_goes_first(self, app: Connection, lots: Shelf) -> None:
        assert consume(app, lots, 10) == [("SOON", -4), ("LATE", -5), ("ANY", -1)]
        found = app.execute("SELECT status FROM rest.stock_lot WHERE remaining_qty = 0").fetchall()
        assert found == [("depleted",), ("depleted",)]
        assert differences(app) == []

    @pytest.mark.parametrize("status", ["quarantined", "recalled", "expired"])
    def test_a_lot_that_may_not_be_used_is_passed_over(
        self, app: Connection, lots: Shelf, status: str
    ) -> None:
        change = "UPDATE rest.stock_lot SET status = %s WHERE lot_code = 'SOON'"
        app.execute(change.encode(), [status])
        assert consume(app, lots, 2) == [("LATE", -2)]

    def test_a_lot_past_its_date_is_passed_over(self, app: Connection, lots: Shelf) -> None:
        assert consume(app, lots, 1, happened="2026-05-10 20:00+00") == [("SOON", -1)]
        assert consume(app, lots, 1, happened="2026-05-11 10:00+00") == [("LATE", -1)]

    def test_what_is_open_too_long_is_passed_over(self, app: Connection, lots: Shelf) -> None:
        app.execute(
            "UPDATE rest.stock_lot SET opened_at = '2026-05-03', discard_at = %s"
            " WHERE lot_code = 'SOON'",
            [DAY],
        )
        assert consume(app, lots, 1) == [("LATE", -1)]

    @pytest.mark.parametrize("status", ["quarantined", "recalled", "expired"])
    def test_such_a_lot_is_not_sold_by_hand_either(
        self, app: Connection, shelf: Shelf, status: str
    ) -> None:
        lot = receive(app, shelf, 5, "A")
        app.execute("UPDATE rest.stock_lot SET status = %s", [status])
        with pytest.raises(errors.CheckViolation, match=r"lot A is .*, it is not used"):
            row(
                app,
                "rest.stock_movement",
                inventory_item_id=shelf.item,
                storage_area_id=shelf.area,
                stock_lot_id=lot,
                movement_kind="sale",
                quantity=-1,
                source_id=uuid4(),
            )

    def test_it_is_thrown_away(self, app: Connection, lots: Shelf) -> None:
        app.execute("UPDATE rest.stock_lot SET status = 'recalled' WHERE lot_code = 'SOON'")
        assert consume(app, lots, 4, kind="waste", any_lot=True) == [("SOON", -4)]
        found = app.execute("SELECT status FROM rest.stock_lot WHERE lot_code = 'SOON'").fetchone()
        assert found == ("recalled",)

    def test_what_is_not_there_is_refused(self, app: Connection, lots: Shelf) -> None:
        with pytest.raises(errors.CheckViolation, match=r"0\.5000 of 12\.5000 is missing"):
            consume(app, lots, 12.5)

    def test_a_sale_may_run_short(self, app: Connection, lots: Shelf) -> None:
        assert consume(app, lots, 14, may_run_short=True)[-1] == (None, -2)
        assert on_hand(app, lots) == -2
        assert differences(app) == []

    def test_what_has_no_lot_is_used_after_the_lots(self, app: Connection, lots: Shelf) -> None:
        receive(app, lots, 5)
        assert consume(app, lots, 16)[-1] == (None, -4)

    def test_only_the_lot_that_is_named(self, app: Connection, lots: Shelf) -> None:
        found = app.execute("SELECT stock_lot_id FROM rest.stock_lot WHERE lot_code = 'ANY'")
        named = found.fetchone()
        assert named
        assert consume(app, lots, 2, only_lot=named[0]) == [("ANY", -2)]

    def test_only_the_area_that_is_named(self, app: Connection, lots: Shelf) -> None:
        area = row(app, "rest.storage_area", location_id=lots.place)
        receive(app, Shelf(lots.item, area, lots.place), 3, "THERE", "2026-06-30")
        assert consume(app, lots, 2, only_area=area) == [("THERE", -2)]

    @pytest.mark.parametrize("amount", [0, -1])
    def test_nothing_is_not_used(self, app: Connection, lots: Shelf, amount: int) -> None:
        with pytest.raises(errors.CheckViolation, match="more than zero"):
            consume(app, lots, amount)

    def test_an_item_goes_where_it_is_cold_enough(self, app: Connection, shelf: Shelf) -> None:
        freezer = row(app, "rest.storage_area", location_id=shelf.place, storage_kind="freezer")
        frozen = row(app, "rest.inventory_item", storage_temp_class="frozen")
        home = "SELECT rest.home_area(%s, %s)"
        assert app.execute(home.encode(), [frozen, shelf.place]).fetchone() == (freezer,)
        assert app.execute(home.encode(), [shelf.item, shelf.place]).fetchone() == (shelf.area,)

    @pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
    def test_lots_expire_when_the_business_day_of_their_site_ends(
        self, app: Connection, lots: Shelf, zone: str
    ) -> None:
        app.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        expire = "SELECT rest.expire_lots(%s)"
        assert app.execute(expire.encode(), ["2026-05-11 03:59+00"]).fetchone() == (0,)
        assert app.execute(expire.encode(), ["2026-05-11 04:00+00"]).fetchone() == (1,)
        assert app.execute(expire.encode(), ["2026-05-11 04:00+00"]).fetchone() == (0,)

    def test_what_is_open_expires_to_the_minute(self, app: Connection, lots: Shelf) -> None:
        app.execute(
            "UPDATE rest.stock_lot SET opened_at = '2026-05-03', discard_at = %s"
            " WHERE lot_code = 'ANY'",
            [DAY],
        )
        expire = "SELECT rest.expire_lots(%s)"
        assert app.execute(expire.encode(), ["2026-05-04 09:59+00"]).fetchone() == (0,)
        assert app.execute(expire.encode(), [DAY]).fetchone() == (1,)

    @pytest.mark.parametrize(("before", "after"), list(permutations(LOT, 2)))
    def test_a_lot_goes_through_its_states(self, app: Connection, before: str, after: str) -> None:
        row(app, "rest.stock_lot")
        change = "UPDATE rest.stock_lot SET status = %s"
        if before != "available":
            app.execute(change.encode(), [before])
        if after in LOT[before]:
            app.execute(change.encode(), [after])
        else:
            with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
                app.execute(change.encode(), [after])

    def test_two_tills_do_not_use_the_same_piece(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            shelf = make_shelf(connection)
            receive(connection, shelf, 10, "A", "2026-05-10")
            receive(connection, shelf, 15, "B", "2026-05-20")

        def sell(_: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    consume(connection, shelf, 10)
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(sell, range(6))) == 2
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            assert differences(connection) == []
            assert on_hand(connection, shelf) == 5
