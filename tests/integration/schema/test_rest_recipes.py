"""Recipes cost what their parts cost, approved ones stand, sales take the oldest lots first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise, permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_orders import add_line, open_check

BATCH = {
    "planned": {"started", "discarded"},
    "started": {"cooling", "completed", "discarded"},
    "cooling": {"completed", "discarded"},
    "completed": set(),
    "discarded": set(),
}
BATCH_PATHS: dict[str, tuple[str, ...]] = {
    "planned": (),
    "started": ("started",),
    "cooling": ("started", "cooling"),
    "completed": ("started", "completed"),
    "discarded": ("discarded",),
}
RECIPE = {"draft": {"approved", "retired"}, "approved": {"retired"}, "retired": set()}


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), list(values)).fetchone()
    assert found
    return found[0]


def unit(connection: Connection, code: str, factor: float) -> UUID:
    return row(
        connection,
        "rest.unit_of_measure",
        unit_code=code,
        dimension="mass",
        factor_to_base=factor,
        is_base=factor == 1,
    )


@pytest.fixture
def gram(app: Connection) -> UUID:
    return unit(app, "g", 1)


@pytest.fixture
def kilo(app: Connection, gram: UUID) -> UUID:
    return unit(app, "kg", 1000)


def ingredient(connection: Connection, kilo: UUID, cost: float, **given: Any) -> UUID:
    return row(
        connection,
        "rest.inventory_item",
        stock_unit_id=kilo,
        recipe_unit_id=kilo,
        average_cost=cost,
        **given,
    )


def recipe(connection: Connection, yields: UUID, **given: Any) -> UUID:
    return row(connection, "rest.recipe", yield_unit_id=yields, **given)


def approve(connection: Connection, made: UUID) -> None:
    connection.execute("UPDATE rest.recipe SET state = 'approved' WHERE recipe_id = %s", [made])


@pytest.fixture
def stew(app: Connection, gram: UUID, kilo: UUID) -> dict[str, UUID]:
    """4 portions: 1.2 kg of beef of 10 and, nested, half of a batch of stock of bones of 2."""
    beef = ingredient(app, kilo, 10, item_code="beef")
    bones = ingredient(app, kilo, 2, item_code="bones")
    prepared = ingredient(app, kilo, 0, item_code="stock", item_kind="prep")
    stock = recipe(app, kilo, recipe_kind="prep", produces_item_id=prepared, yield_qty=2)
    row(
        app,
        "rest.recipe_line",
        recipe_id=stock,
        inventory_item_id=bones,
        unit_of_measure_id=kilo,
        quantity=3,
    )
    approve(app, stock)
    dish = recipe(app, gram, yield_qty=2000, portion_count=4)
    row(
        app,
        "rest.recipe_line",
        recipe_id=dish,
        inventory_item_id=beef,
        unit_of_measure_id=gram,
        quantity=1200,
        prep_yield_pct=80,
        cook_loss_pct=25,
    )
    row(
        app,
        "rest.recipe_line",
        recipe_id=dish,
        sub_recipe_id=stock,
        unit_of_measure_id=gram,
        quantity=1000,
    )
    return {"dish": dish, "stock": stock, "beef": beef, "bones": bones, "prepared": prepared}


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("recipe", {"recipe_kind": "prep"}, "prep_makes_an_item"),
        ("recipe", {"portion_count": 0}, "portion_count_positive"),
        ("recipe", {"yield_qty": 0}, "yield_qty_positive"),
        ("recipe", {"effective_to": "2020-01-01"}, "ends_after_it_begins"),
        ("recipe", {"version_no": 0}, "version_no_positive"),
        ("recipe", {"cook_minutes": -1}, "takes_time"),
        ("recipe", {"current_cost": -1}, "cost_not_negative"),
        ("recipe_cost_snapshot", {"ingredient_cost": -1}, "ingredient_cost_not_negative"),
        ("recipe_cost_snapshot", {"labour_cost": -1}, "costs_not_negative"),
        ("yield_test", {"as_purchased_cost": -1}, "nothing_below_zero"),
        ("recipe_line", {}, "is_item_or_recipe"),
        ("recipe_usage", {"quantity": None}, "kind_fits"),
        ("yield_test", {"waste_qty": 3}, "parts_fit_in_the_whole"),
        ("yield_test", {"usable_qty": 0}, "leaves_something"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"quantity": 0}, "quantity_positive"),
        ({"prep_yield_pct": 0}, "prep_yield_bounded"),
        ({"prep_yield_pct": 101}, "prep_yield_bounded"),
        ({"cook_loss_pct": 100}, "cook_loss_leaves_something"),
    ],
)
def test_a_line_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    item = row(app, "rest.inventory_item")
    with pytest.raises(errors.CheckViolation, match=f"recipe_line_{truth}"):
        row(app, "rest.recipe_line", inventory_item_id=item, **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"quantity": None}, "uses_recipe_or_item"),
        ({}, "item_by_quantity"),
        ({"quantity": None, "portions": 1}, "recipe_by_portion"),
        ({"usage_kind": "size"}, "size_is_named"),
        ({"usage_kind": "modifier"}, "kind_fits"),
        ({"quantity": 0}, "quantity_positive"),
        ({"effective_to": "2020-01-01"}, "ends_after_it_begins"),
    ],
)
def test_a_usage_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    dish = row(app, "rest.menu_item")
    alone = {"uses_recipe_or_item", "item_by_quantity", "recipe_by_portion"}
    item = None if truth in alone else row(app, "rest.inventory_item")
    with pytest.raises(errors.CheckViolation, match=f"recipe_usage_{truth}"):
        row(app, "rest.recipe_usage", menu_item_id=dish, inventory_item_id=item, **columns)


def test_gross_is_net_before_trimming_and_cooking(app: Connection, stew: dict[str, UUID]) -> None:
    gross = one(
        app, "SELECT gross_qty FROM rest.recipe_line WHERE inventory_item_id = %s", stew["beef"]
    )
    assert gross == 2000


def test_a_recipe_costs_its_parts_and_those_of_its_parts(
    app: Connection, stew: dict[str, UUID]
) -> None:
    place = row(app, "rest.location")
    cost, tree = app.execute(
        "SELECT cost_per_portion, cost_tree FROM rest.recipe_cost(%s, %s)", [stew["dish"], place]
    ).fetchone() or (None, None)
    # 2 kg of beef and 1.5 kg of bones in 4 portions.
    assert cost == Decimal("5.7500")
    assert tree["lines"][1]["lines"][0]["item_code"] == "bones"
    assert tree["lines"][1]["cost"] == 3


def test_what_is_optional_costs_nothing(app: Connection, stew: dict[str, UUID]) -> None:
    app.execute(
        "UPDATE rest.recipe_line SET is_optional = true WHERE sub_recipe_id = %s", [stew["stock"]]
    )
    place = row(app, "rest.location")
    query = "SELECT cost_per_portion FROM rest.recipe_cost(%s, %s)"
    assert one(app, query, stew["dish"], place) == 5


def test_two_snapshots_tell_what_made_the_difference(
    app: Connection, stew: dict[str, UUID]
) -> None:
    place = row(app, "rest.location")
    snapshot = "SELECT rest.snapshot_recipe_cost(%s, %s, %s)"
    app.execute(snapshot.encode(), [stew["dish"], place, "2026-05-01"])
    app.execute(
        "UPDATE rest.inventory_item SET average_cost = 4 WHERE inventory_item_id = %s",
        [stew["bones"]],
    )
    app.execute(snapshot.encode(), [stew["dish"], place, "2026-05-02"])
    found = app.execute(
        "SELECT inventory_item_id, cost_before, cost_after FROM rest.v_recipe_cost_driver"
        " WHERE cost_change <> 0"
    ).fetchall()
    assert found == [(stew["bones"], 3, 6)]
    assert one(app, "SELECT count(*) FROM rest.v_recipe_cost_driver") == 2
    changed = "SELECT cost_change_pct FROM rest.recipe_cost_snapshot ORDER BY computed_at DESC"
    assert one(app, changed) == Decimal("13.0435")


def test_a_snapshot_stands(app: Connection) -> None:
    row(app, "rest.recipe_cost_snapshot")
    app.execute("RESET ROLE")
    changes = (
        "UPDATE rest.recipe_cost_snapshot SET margin_amount = 0",
        "DELETE FROM rest.recipe_cost_snapshot",
    )
    for change in changes:
        with (
            app.transaction(force_rollback=True),
            pytest.raises(errors.RestrictViolation, match="recipe_cost_snapshot"),
        ):
            app.execute(change.encode())


def test_a_snapshot_holds_the_cost_against_the_price(
    app: Connection, stew: dict[str, UUID], kilo: UUID
) -> None:
    dish = row(app, "rest.menu_item", base_price=23)
    box = ingredient(app, kilo, 1)
    use(app, menu_item_id=dish, recipe_id=stew["dish"], quantity=None, portions=1)
    use(
        app,
        menu_item_id=dish,
        inventory_item_id=box,
        unit_of_measure_id=kilo,
        usage_kind="packaging",
    )
    app.execute(
        "SELECT rest.snapshot_recipe_cost(%s, %s)", [stew["dish"], row(app, "rest.location")]
    )
    found = app.execute(
        "SELECT menu_price, packaging_cost, food_cost_pct, margin_amount, ingredient_cost"
        " FROM rest.recipe_cost_snapshot"
    ).fetchone()
    assert found == (23, 1, 25, Decimal("16.25"), 23)
    cost = "SELECT current_cost FROM rest.recipe WHERE recipe_id = %s"
    assert one(app, cost, stew["dish"]) == Decimal("5.75")


def test_a_site_costs_what_its_own_deliveries_did(app: Connection, stew: dict[str, UUID]) -> None:
    place = row(app, "rest.location")
    stocked(app, stew["bones"], place, {"b": (9, "2099-01-01")})
    query = "SELECT cost_per_portion FROM rest.recipe_cost(%s, %s)"
    # 3 kg at the 1 dollar of its lot; elsewhere at the average of the business.
    assert one(app, query, stew["stock"], place) == 3
    bones = one(app, "SELECT average_cost FROM rest.inventory_item WHERE item_code = 'bones'")
    elsewhere = row(app, "rest.location")
    app.execute("UPDATE rest.inventory_item SET average_cost = 7 WHERE item_code = 'bones'")
    assert bones == 1
    assert one(app, query, stew["stock"], elsewhere) == 21


def test_what_nobody_wrote_costs_nothing_known(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no recipe"):
        app.execute("SELECT rest.recipe_cost(gen_random_uuid(), gen_random_uuid())")


def test_a_recipe_is_exploded_to_stock_units(app: Connection, stew: dict[str, UUID]) -> None:
    found = app.execute(
        "SELECT inventory_item_id, quantity FROM rest.explode_recipe(%s, 2)", [stew["dish"]]
    ).fetchall()
    assert dict(found) == {stew["beef"]: 4, stew["bones"]: 3}


def test_no_recipe_goes_into_itself(app: Connection, gram: UUID) -> None:
    chain = [recipe(app, gram) for _ in range(3)]
    for outer, inner in pairwise(chain):
        row(
            app,
            "rest.recipe_line",
            recipe_id=outer,
            sub_recipe_id=inner,
            unit_of_measure_id=gram,
        )
    with pytest.raises(errors.CheckViolation, match="would go into itself"):
        row(
            app,
            "rest.recipe_line",
            recipe_id=chain[2],
            sub_recipe_id=chain[0],
            unit_of_measure_id=gram,
        )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rest.recipe SET yield_qty = 9 WHERE recipe_id = %s",
        "DELETE FROM rest.recipe WHERE recipe_id = %s",
        "UPDATE rest.recipe_line SET quantity = 9 WHERE recipe_id = %s",
        "DELETE FROM rest.recipe_line WHERE recipe_id = %s",
        "UPDATE rest.recipe_line SET line_number = 99 WHERE sub_recipe_id IS NULL"
        " AND recipe_id = %s",
    ],
)
def test_an_approved_recipe_is_frozen(app: Connection, stew: dict[str, UUID], change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="is approved"):
        app.execute(change.encode(), [stew["stock"]])


def test_an_empty_recipe_is_not_approved(app: Connection, gram: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="has no ingredients"):
        approve(app, recipe(app, gram))


def test_one_version_is_approved_at_a_time(app: Connection, gram: UUID, kilo: UUID) -> None:
    item = ingredient(app, kilo, 1)
    versions = [recipe(app, gram, recipe_code="SOUP", version_no=n) for n in (1, 2)]
    for made in versions:
        row(
            app,
            "rest.recipe_line",
            recipe_id=made,
            inventory_item_id=item,
            unit_of_measure_id=gram,
        )
    approve(app, versions[0])
    with pytest.raises(errors.UniqueViolation, match="recipe_one_approved_idx"):
        approve(app, versions[1])


@pytest.mark.parametrize(("before", "after"), list(permutations(RECIPE, 2)))
def test_states_of_a_recipe(
    app: Connection, stew: dict[str, UUID], before: str, after: str
) -> None:
    move = "UPDATE rest.recipe SET state = %s WHERE recipe_id = %s"
    if before != "draft":
        app.execute(move.encode(), [before, stew["dish"]])
    if after in RECIPE[before]:
        app.execute(move.encode(), [after, stew["dish"]])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after, stew["dish"]])


def test_an_accepted_trim_is_the_yield_of_the_item(app: Connection) -> None:
    item = row(app, "rest.inventory_item")
    row(
        app,
        "rest.yield_test",
        inventory_item_id=item,
        test_kind="trim",
        as_purchased_cost=8,
        is_accepted=True,
    )
    assert one(app, "SELECT default_yield_pct FROM rest.inventory_item") == 80
    assert one(app, "SELECT edible_portion_cost FROM rest.yield_test") == 10


def stocked(
    connection: Connection, item: UUID, place: UUID, lots: dict[str, tuple[float, str]]
) -> UUID:
    """An area of the place with lots of an item: code: (quantity, use by)."""
    area = row(connection, "rest.storage_area", location_id=place)
    for code, (amount, use_by) in lots.items():
        connection.execute(
            "SELECT rest.receive_stock(%s, %s, %s, 1, source_ref => %s, lot => %s, use_by => %s)",
            [item, area, amount, item, code, use_by],
        )
    return area


def sold(connection: Connection, **given: Any) -> tuple[UUID, UUID, UUID]:
    """A line of a check, its menu item and its site."""
    check = open_check(connection, service_mode="dine_in")
    dish = row(connection, "rest.menu_item")
    line = add_line(connection, check, item=dish, **given)
    return line, dish, one(connection, "SELECT location_id FROM rest.guest_order")


DEPLETE = "SELECT rest.deplete_for_check_item(%s)"
TAKEN = """
    SELECT i.item_code::text, l.lot_code::text, -m.quantity FROM rest.stock_movement AS m
    JOIN rest.inventory_item AS i USING (business_id, inventory_item_id)
    LEFT JOIN rest.stock_lot AS l USING (business_id, stock_lot_id)
    WHERE m.movement_kind = 'sale' ORDER BY 1, l.use_by_on"""


def use(connection: Connection, **given: Any) -> UUID:
    return row(connection, "rest.recipe_usage", **{"effective_from": "2020-01-01", **given})


def test_a_sale_takes_what_expires_first(app: Connection, kilo: UUID) -> None:
    line, dish, place = sold(app, quantity=3)
    fish = ingredient(app, kilo, 1, item_code="fish")
    stocked(app, fish, place, {"new": (5, "2099-02-01"), "old": (2, "2099-01-01")})
    use(app, menu_item_id=dish, inventory_item_id=fish, unit_of_measure_id=kilo, service_mode="all")
    assert one(app, DEPLETE, line) == 2
    assert app.execute(TAKEN.encode()).fetchall() == [("fish", "old", 2), ("fish", "new", 1)]
    assert one(app, DEPLETE, line) == 0


def test_a_sale_goes_through_sub_recipes(app: Connection, stew: dict[str, UUID]) -> None:
    line, dish, place = sold(app, quantity=2)
    stocked(app, stew["beef"], place, {"a": (9, "2099-01-01")})
    stocked(app, stew["bones"], place, {"b": (9, "2099-01-01")})
    use(app, menu_item_id=dish, recipe_id=stew["dish"], quantity=None, portions=1)
    assert one(app, DEPLETE, line) == 2
    assert app.execute(TAKEN.encode()).fetchall() == [
        ("beef", "a", 1),
        ("bones", "b", Decimal("0.75")),
    ]


def test_what_is_prepared_ahead_comes_from_its_own_lots(
    app: Connection, stew: dict[str, UUID]
) -> None:
    line, dish, place = sold(app)
    stocked(app, stew["beef"], place, {"a": (9, "2099-01-01")})
    stocked(app, stew["prepared"], place, {"p": (9, "2099-01-01")})
    use(app, menu_item_id=dish, recipe_id=stew["dish"], quantity=None, portions=1)
    app.execute(DEPLETE.encode(), [line])
    assert ("stock", "p", Decimal("0.25")) in app.execute(TAKEN.encode()).fetchall()


@pytest.mark.parametrize(("said", "left"), [("extra", 3), ("no", None)])
def test_modifiers_add_and_take_away(
    app: Connection, kilo: UUID, said: str, left: int | None
) -> None:
    line, dish, place = sold(app)
    cheese = ingredient(app, kilo, 1, item_code="cheese")
    stocked(app, cheese, place, {"c": (9, "2099-01-01")})
    option = row(app, "rest.modifier_option")
    row(
        app,
        "rest.check_item_modifier",
        check_item_id=line,
        modifier_option_id=option,
        pre_modifier=said,
        free_text=None,
    )
    base = {"inventory_item_id": cheese, "unit_of_measure_id": kilo}
    use(app, menu_item_id=dish, quantity=1, **base)
    use(app, modifier_option_id=option, usage_kind="modifier", quantity=2, **base)
    app.execute(DEPLETE.encode(), [line])
    found = app.execute(TAKEN.encode()).fetchall()
    assert found == ([] if left is None else [("cheese", "c", left)])


@pytest.mark.parametrize(("when", "lines"), [("sale", 0), ("fire", 1), ("production", 0)])
def test_a_voided_line_used_what_the_kitchen_had(
    app: Connection, kilo: UUID, when: str, lines: int
) -> None:
    line, dish, place = sold(app, state="sent", sent_at="2026-05-04 12:00+00")
    fish = ingredient(app, kilo, 1)
    stocked(app, fish, place, {"f": (9, "2099-01-01")})
    use(
        app,
        menu_item_id=dish,
        inventory_item_id=fish,
        unit_of_measure_id=kilo,
        depletes_on=when,
    )
    app.execute(
        "UPDATE rest.check_item SET state = 'voided', voided_at = now(), void_reason_id = %s,"
        " voided_by_staff_id = %s",
        [row(app, "rest.reason_code", reason_group="void"), row(app, "rest.staff_member")],
    )
    assert one(app, DEPLETE, line) == lines


def test_there_is_no_line_to_deplete(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no line"):
        app.execute("SELECT rest.deplete_for_check_item(gen_random_uuid())")


def test_what_a_size_uses_stands_for_what_its_item_uses(app: Connection, kilo: UUID) -> None:
    check = open_check(app, service_mode="dine_in")
    dish = row(app, "rest.menu_item")
    large = row(app, "rest.menu_item_size", menu_item_id=dish)
    line = add_line(app, check, item=dish, menu_item_size_id=large)
    place = one(app, "SELECT location_id FROM rest.guest_order")
    fish = ingredient(app, kilo, 1, item_code="fish")
    stocked(app, fish, place, {"f": (9, "2099-01-01")})
    base = {"menu_item_id": dish, "inventory_item_id": fish, "unit_of_measure_id": kilo}
    use(app, quantity=1, **base)
    use(app, quantity=2, usage_kind="size", menu_item_size_id=large, **base)
    use(app, quantity=4, usage_kind="packaging", **base)
    app.execute(DEPLETE.encode(), [line])
    assert app.execute(TAKEN.encode()).fetchall() == [("fish", "f", 6)]


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({"service_mode": "dine_in"}, 1),
        ({"service_mode": "takeout"}, 0),
        ({"service_mode": "all", "is_active": False}, 0),
        ({"service_mode": "all", "effective_from": "2098-01-01"}, 0),
        ({"service_mode": "all", "effective_to": "2020-01-02"}, 0),
    ],
)
def test_a_usage_counts_where_and_while_it_stands(
    app: Connection, kilo: UUID, given: dict[str, Any], lines: int
) -> None:
    line, dish, place = sold(app)
    fish = ingredient(app, kilo, 1)
    stocked(app, fish, place, {"f": (9, "2099-01-01")})
    use(app, menu_item_id=dish, inventory_item_id=fish, unit_of_measure_id=kilo, **given)
    assert one(app, DEPLETE, line) == lines


def test_what_was_served_is_booked_beyond_the_shelf(app: Connection, kilo: UUID) -> None:
    line, dish, place = sold(app, quantity=3)
    fish = ingredient(app, kilo, 1)
    stocked(app, fish, place, {"f": (2, "2099-01-01")})
    use(app, menu_item_id=dish, inventory_item_id=fish, unit_of_measure_id=kilo)
    assert one(app, DEPLETE, line) == 2
    assert one(app, "SELECT on_hand_qty FROM rest.stock_level") == -1


def batch(connection: Connection, stew: dict[str, UUID], kilo: UUID) -> UUID:
    kitchen = row(connection, "rest.kitchen")
    place = one(connection, "SELECT location_id FROM rest.kitchen")
    stocked(connection, stew["bones"], place, {"b": (9, "2099-01-01")})
    return row(
        connection,
        "rest.production_batch",
        recipe_id=stew["stock"],
        kitchen_id=kitchen,
        unit_of_measure_id=kilo,
        planned_qty=4,
        started_at="2026-05-04 10:00+00",
    )


def test_a_batch_turns_ingredients_into_a_lot(
    app: Connection, stew: dict[str, UUID], kilo: UUID
) -> None:
    made = batch(app, stew, kilo)
    app.execute("UPDATE rest.production_batch SET state = 'started'")
    app.execute("SELECT rest.complete_batch(%s, 3)", [made])
    found = app.execute(
        "SELECT b.state, b.yield_variance_pct, b.batch_cost, l.remaining_qty, l.unit_cost,"
        " b.input_lots_doc -> 0 ->> 'quantity'"
        " FROM rest.production_batch AS b"
        " JOIN rest.stock_lot AS l ON l.stock_lot_id = b.output_lot_id"
    ).fetchone()
    assert found == ("completed", -25, 6, 3, 2, "6.0000")
    with pytest.raises(errors.CheckViolation, match="it is not completed"):
        app.execute("SELECT rest.complete_batch(%s, 3)", [made])


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"planned_qty": 0}, "makes_something"),
        ({"label_count": -1}, "not_negative"),
        ({"state": "started", "started_at": None}, "started_has_time"),
        ({"completed_at": "2026-05-04 09:00+00"}, "completed_after_start"),
        (
            {"completed_at": "2026-05-04 11:00+00", "use_by_at": "2026-05-04 11:00+00"},
            "used_after_completion",
        ),
    ],
)
def test_a_batch_that_cannot_be_is_refused(
    app: Connection, stew: dict[str, UUID], columns: dict[str, Any], truth: str
) -> None:
    given = {"planned_qty": 4, "started_at": "2026-05-04 10:00+00", **columns}
    with pytest.raises(errors.CheckViolation, match=f"production_batch_{truth}"):
        row(app, "rest.production_batch", recipe_id=stew["stock"], **given)


def test_a_completed_batch_has_made_a_lot(
    app: Connection, stew: dict[str, UUID], kilo: UUID
) -> None:
    batch(app, stew, kilo)
    app.execute("UPDATE rest.production_batch SET state = 'started'")
    with pytest.raises(errors.CheckViolation, match="completed_made_a_lot"):
        app.execute("UPDATE rest.production_batch SET state = 'completed'")


def test_batches_are_made_of_prep_recipes(app: Connection, stew: dict[str, UUID]) -> None:
    with pytest.raises(errors.CheckViolation, match="no batch is made of it"):
        row(app, "rest.production_batch", recipe_id=stew["dish"])


@pytest.mark.parametrize(("before", "after"), list(permutations(BATCH, 2)))
def test_states_of_a_batch(
    app: Connection, stew: dict[str, UUID], kilo: UUID, before: str, after: str
) -> None:
    made = batch(app, stew, kilo)
    lot = one(app, "SELECT stock_lot_id FROM rest.stock_lot")
    move = (
        "UPDATE rest.production_batch SET state = %s, actual_qty = 1, output_lot_id = %s,"
        " completed_at = '2026-05-04 12:00+00' WHERE production_batch_id = %s"
    )
    for state in BATCH_PATHS[before]:
        app.execute(move.encode(), [state, lot, made])
    if after in BATCH[before]:
        app.execute(move.encode(), [after, lot, made])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(move.encode(), [after, lot, made])


def test_two_devices_deplete_a_line_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        line, dish, place = sold(connection)
        weight = unit(connection, "kg", 1000)
        fish = ingredient(connection, weight, 1)
        stocked(connection, fish, place, {"f": (9, "2099-01-01")})
        use(connection, menu_item_id=dish, inventory_item_id=fish, unit_of_measure_id=weight)

    def deplete(_: int) -> int:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            return int(one(connection, DEPLETE, line))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(deplete, range(4))) == 1


def test_two_cooks_do_not_close_a_cycle_together(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        weight = unit(connection, "kg", 1000)
        a, b, c, d = (recipe(connection, weight) for _ in range(4))
        for outer, inner in ((b, c), (d, a)):
            row(
                connection,
                "rest.recipe_line",
                recipe_id=outer,
                sub_recipe_id=inner,
                unit_of_measure_id=weight,
            )

    def nest(pair: tuple[UUID, UUID]) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                row(
                    connection,
                    "rest.recipe_line",
                    recipe_id=pair[0],
                    sub_recipe_id=pair[1],
                    unit_of_measure_id=weight,
                )
            except errors.CheckViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(nest, [(a, b), (c, d)])) == 1


def test_two_cooks_complete_a_batch_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        weight = unit(connection, "kg", 1000)
        bones = ingredient(connection, weight, 2)
        stock = recipe(
            connection,
            weight,
            recipe_kind="prep",
            produces_item_id=ingredient(connection, weight, 0, item_kind="prep"),
        )
        row(
            connection,
            "rest.recipe_line",
            recipe_id=stock,
            inventory_item_id=bones,
            unit_of_measure_id=weight,
        )
        approve(connection, stock)
        made = batch(connection, {"stock": stock, "bones": bones}, weight)
        connection.execute("UPDATE rest.production_batch SET state = 'started'")

    def complete(_: int) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                connection.execute("SELECT rest.complete_batch(%s, 3)", [made])
            except errors.CheckViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(complete, range(4))) == 1


def test_a_line_that_meets_an_approval_is_refused(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        weight = unit(connection, "kg", 1000)
        columns = {
            "recipe_id": recipe(connection, weight),
            "inventory_item_id": ingredient(connection, weight, 1),
            "unit_of_measure_id": weight,
        }
        row(connection, "rest.recipe_line", **columns)

    def add() -> None:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            row(connection, "rest.recipe_line", **columns)

    with ThreadPoolExecutor(1) as pool, psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        approve(connection, columns["recipe_id"])
        added = pool.submit(add)
        connection.commit()
        with pytest.raises(errors.RestrictViolation, match="is approved"):
            added.result()
