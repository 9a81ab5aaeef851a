"""Waste leaves the stock as it is written down; what is eaten or given away is still good."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.test_rest_inventory import (
    DAY,
    Shelf,
    differences,
    make_shelf,
    on_hand,
    receive,
)

THROWN = ("spoilage", "trim", "overproduction", "dropped", "returned_dish", "expired")
GIVEN = ("staff_meal", "donation")


@pytest.fixture
def shelf(app: Connection) -> Shelf:
    """Four that are past their date and six that are good, at 2 each."""
    made = make_shelf(app, item_code="FISH")
    receive(app, made, 6, "GOOD", "2026-05-20")
    receive(app, made, 4, "PAST", "2026-05-04")
    app.execute("UPDATE rest.stock_lot SET status = 'expired' WHERE lot_code = 'PAST'")
    return made


def unit_of(connection: Connection, item: UUID) -> UUID:
    found = connection.execute(
        "SELECT stock_unit_id FROM rest.inventory_item WHERE inventory_item_id = %s", [item]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def waste(
    connection: Connection, shelf: Shelf, quantity: float, kind: str = "spoilage", **given: Any
) -> UUID:
    return row(
        connection,
        "rest.waste_log",
        inventory_item_id=shelf.item,
        location_id=shelf.place,
        waste_kind=kind,
        disposal="donated" if kind == "donation" else "bin",
        quantity=quantity,
        **{
            "unit_of_measure_id": unit_of(connection, shelf.item),
            "occurred_at": DAY,
            **given,
        },
    )


def moved(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT m.movement_kind, l.lot_code, m.quantity::float8 FROM rest.stock_movement AS m"
        " LEFT JOIN rest.stock_lot AS l USING (stock_lot_id)"
        " WHERE m.source_kind = 'waste_log' ORDER BY l.use_by_on"
    ).fetchall()


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"waste_kind": "lost"}, "waste_kind_known"),
        ({"disposal": "sea"}, "disposal_known"),
        ({"menu_item_id": None}, "ingredient_or_dish"),
        ({"quantity": 0}, "quantity_positive"),
        ({"waste_kind": "donation"}, "given_away"),
        ({"disposal": "donated"}, "given_away"),
    ],
)
def test_what_cannot_be_is_refused(app: Connection, columns: dict[str, Any], truth: str) -> None:
    given = {"menu_item_id": row(app, "rest.menu_item"), **columns}
    with pytest.raises(errors.CheckViolation, match=f"waste_log_{truth}"):
        imported(app, "rest.waste_log", **given)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        (("inventory_item", "unit_of_measure", "menu_item"), "ingredient_or_dish"),
        (("menu_item", "unit_of_measure"), "ingredient_has_unit"),
        (("inventory_item",), "ingredient_has_unit"),
        (("inventory_item", "unit_of_measure", "check_item"), "line_is_a_dish"),
    ],
)
def test_it_is_an_ingredient_or_a_dish(
    app: Connection, columns: tuple[str, ...], truth: str
) -> None:
    given = {f"{name}_id": row(app, f"rest.{name}") for name in columns}
    with pytest.raises(errors.CheckViolation, match=f"waste_log_{truth}"):
        imported(app, "rest.waste_log", **given)


@pytest.mark.parametrize("kind", THROWN)
def test_what_is_thrown_away_need_not_be_good(app: Connection, shelf: Shelf, kind: str) -> None:
    waste(app, shelf, 5, kind)
    assert moved(app) == [("waste", "PAST", -4), ("waste", "GOOD", -1)]
    assert on_hand(app, shelf) == 5
    assert differences(app) == []


@pytest.mark.parametrize(
    ("kind", "movement"), [("staff_meal", "staff_meal"), ("donation", "waste")]
)
def test_what_is_eaten_or_given_away_is_good(
    app: Connection, shelf: Shelf, kind: str, movement: str
) -> None:
    waste(app, shelf, 5, kind)
    assert moved(app) == [(movement, "GOOD", -5)]
    assert differences(app) == []


@pytest.mark.parametrize("kind", GIVEN)
def test_no_more_is_eaten_than_there_is(app: Connection, shelf: Shelf, kind: str) -> None:
    with pytest.raises(errors.CheckViolation, match=r"is short of FISH: 1\.0000 of 7\.0000"):
        waste(app, shelf, 7, kind)


def test_what_is_thrown_away_was_there_whatever_the_books_say(
    app: Connection, shelf: Shelf
) -> None:
    waste(app, shelf, 12)
    assert moved(app)[-1] == ("waste", None, -2)
    assert on_hand(app, shelf) == -2
    assert differences(app) == []


def test_it_is_weighed_in_any_unit(app: Connection, shelf: Shelf) -> None:
    case = row(app, "rest.unit_of_measure", unit_system="trade", factor_to_base=None)
    row(
        app,
        "rest.unit_conversion",
        inventory_item_id=shelf.item,
        from_unit_id=case,
        to_unit_id=unit_of(app, shelf.item),
        factor=3,
        conversion_kind="pack",
    )
    waste(app, shelf, 2, unit_of_measure_id=case)
    assert on_hand(app, shelf) == 4
    found = app.execute("SELECT unit_cost::int, value_amount::int FROM rest.waste_log").fetchone()
    assert found == (3 * 2, 2 * 3 * 2)


@pytest.mark.parametrize(("given", "value"), [({}, 10), ({"unit_cost": 3}, 15)])
def test_it_costs_what_the_item_costs_unless_somebody_says(
    app: Connection, shelf: Shelf, given: dict[str, Any], value: int
) -> None:
    waste(app, shelf, 5, **given)
    assert app.execute("SELECT value_amount::int FROM rest.waste_log").fetchone() == (value,)


def test_after_midnight_it_is_of_the_evening_before(app: Connection, shelf: Shelf) -> None:
    waste(app, shelf, 1, occurred_at="2026-05-05 03:00+00", business_date=None)
    found = app.execute(
        "SELECT w.business_date::text, m.business_date::text FROM rest.waste_log AS w"
        " JOIN rest.stock_movement AS m ON m.source_id = w.waste_log_id"
    ).fetchone()
    assert found == ("2026-05-04", "2026-05-04")


def test_a_dish_was_used_up_when_it_was_sold(app: Connection, shelf: Shelf) -> None:
    dish = row(app, "rest.menu_item")
    row(app, "rest.waste_log", menu_item_id=dish, location_id=shelf.place)
    assert moved(app) == []


def test_it_waits_for_the_count(app: Connection, shelf: Shelf) -> None:
    frozen = {"state": "counting", "freezes_stock": True}
    row(app, "rest.inventory_count", location_id=shelf.place, **frozen)
    with pytest.raises(errors.RestrictViolation, match="stock is frozen"):
        waste(app, shelf, 1)


def test_history_brings_its_own_movements(app: Connection, shelf: Shelf) -> None:
    app.execute("RESET ROLE")
    waste(app, shelf, 1)
    assert moved(app) == []
    assert app.execute("SELECT unit_cost FROM rest.waste_log").fetchone() == (0,)


def test_what_was_written_down_stands(app: Connection, shelf: Shelf) -> None:
    waste(app, shelf, 1)
    with pytest.raises(psycopg.Error, match="permission denied"):
        app.execute("UPDATE rest.waste_log SET quantity = 2")


@pytest.mark.parametrize("change", ["UPDATE {} SET note = 'No'", "DELETE FROM {}"])
def test_not_even_its_owner_changes_it(app: Connection, shelf: Shelf, change: str) -> None:
    waste(app, shelf, 1)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute(change.format("rest.waste_log").encode())
