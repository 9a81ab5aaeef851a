"""A count is posted against what the books say of the moment of counting, by somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_rest_inventory import (
    DAY,
    Shelf,
    consume,
    make_shelf,
    receive,
)

COUNT: dict[str, set[str]] = {
    "draft": {"counting", "cancelled"},
    "counting": {"submitted", "cancelled"},
    "submitted": {"counting", "approved", "cancelled"},
    "approved": set(),
    "cancelled": set(),
}
NOON = "2026-05-04 12:00+00"
ONE = "2026-05-04 13:00+00"


@dataclass
class Site:
    """A shelf with ten of an item at 2 each, who counts it and who approves that."""

    connection: Connection
    shelf: Shelf
    counter: UUID
    boss: UUID

    def start(self, kind: str = "full", category: UUID | None = None) -> UUID:
        found = self.connection.execute(
            "SELECT rest.start_count(%s, %s, %s, %s, moment => %s)",
            [self.shelf.place, self.counter, kind, category, DAY],
        ).fetchone()
        assert found
        return UUID(str(found[0]))

    def write(self, sheet: UUID, shelf: Shelf | None = None, **line: Any) -> UUID:
        """A line on a sheet that was started empty."""
        shelf = shelf or self.shelf
        unit = one(
            self.connection,
            "SELECT stock_unit_id FROM rest.inventory_item WHERE inventory_item_id = %s",
            shelf.item,
        )
        return row(
            self.connection,
            "rest.inventory_count_line",
            inventory_count_id=sheet,
            inventory_item_id=shelf.item,
            storage_area_id=shelf.area,
            **{"unit_of_measure_id": unit, **line},
        )

    def count(self, quantity: float, at: str = NOON) -> None:
        self.connection.execute(
            "UPDATE rest.inventory_count_line SET counted_unit_qty = %s, counted_at = %s",
            [quantity, at],
        )

    def become(self, sheet: UUID, state: str, by: UUID | None = None) -> None:
        approved = state == "approved"
        self.connection.execute(
            "UPDATE rest.inventory_count SET state = %s, submitted_at = now(),"
            " approved_at = CASE WHEN %s THEN now() END, approved_by_staff_id = %s"
            " WHERE inventory_count_id = %s",
            [state, approved, (by or self.boss) if approved else None, sheet],
        )

    def post(self, sheet: UUID) -> None:
        self.become(sheet, "submitted")
        self.become(sheet, "approved")

    def imported(self, state: str, **given: Any) -> UUID:
        """A count in some state, of which one line was counted."""
        sheet = imported(
            self.connection,
            "rest.inventory_count",
            location_id=self.shelf.place,
            started_by_staff_id=self.counter,
            started_at=DAY,
            submitted_at=DAY,
            state=state,
            approved_at=DAY if state == "approved" else None,
            approved_by_staff_id=self.boss if state == "approved" else None,
            **given,
        )
        imported(
            self.connection,
            "rest.inventory_count_line",
            inventory_count_id=sheet,
            inventory_item_id=self.shelf.item,
            storage_area_id=self.shelf.area,
            expected_qty=10,
            counted_qty=10,
            counted_at=NOON,
        )
        return sheet


def make_site(connection: Connection, **item: Any) -> Site:
    shelf = make_shelf(connection, **item)
    receive(connection, shelf, 10, "A", "2026-12-31")
    counter, boss = row(connection, "rest.staff_member"), row(connection, "rest.staff_member")
    return Site(connection, shelf, counter, boss)


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


@pytest.fixture
def site(app: Connection) -> Site:
    return make_site(app)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("inventory_count", {"count_kind": "yearly"}, "kind_known"),
        ("inventory_count", {"state": "lost"}, "state_known"),
        ("inventory_count", {"approved_at": NOON, "submitted_at": DAY}, "approved_by_somebody"),
        ("inventory_count", {"state": "approved", "submitted_at": DAY}, "approved_by_somebody"),
        (
            "inventory_count",
            {"state": "approved", "submitted_at": DAY, "approved_at": DAY},
            "approved_by_somebody",
        ),
        ("inventory_count", {"state": "submitted"}, "submitted_has_time"),
        ("inventory_count", {"submitted_at": "2026-05-04 09:59+00"}, "in_order"),
        (
            "inventory_count_line",
            {"counted_qty": -1, "counted_at": DAY},
            "counted_not_negative",
        ),
        ("inventory_count_line", {"counted_unit_qty": -1}, "counted_not_negative"),
        (
            "inventory_count_line",
            {"counted_qty": 2, "counted_at": DAY, "recount_qty": 3},
            "recount_confirms",
        ),
        ("inventory_count_line", {"counted_qty": 2}, "counted_has_time"),
        ("inventory_count_line", {"counted_at": DAY}, "counted_has_time"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    given = {"started_at": DAY, **columns} if table == "inventory_count" else columns
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        imported(app, f"rest.{table}", **given)


@pytest.mark.parametrize(
    ("boss", "approved_at", "truth"),
    [("counter", NOON, "approved_by_another"), ("boss", DAY, "in_order")],
)
def test_an_approval_is_anothers_and_later(
    site: Site, boss: str, approved_at: str, truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"inventory_count_{truth}"):
        imported(
            site.connection,
            "rest.inventory_count",
            started_by_staff_id=site.counter,
            approved_by_staff_id=getattr(site, boss),
            state="approved",
            started_at=DAY,
            submitted_at="2026-05-04 11:00+00",
            approved_at=approved_at,
        )


class TestStates:
    """A count is counted, submitted and approved, or sent back, or given up."""

    @pytest.mark.parametrize(
        ("before", "after_it"), [(b, a) for b, states in COUNT.items() for a in sorted(states)]
    )
    def test_it_goes_on(self, site: Site, before: str, after_it: str) -> None:
        sheet = site.imported(before)
        site.become(sheet, after_it)
        assert one(site.connection, "SELECT state FROM rest.inventory_count") == after_it

    @pytest.mark.parametrize(("before", "after_it"), refused(COUNT))
    def test_it_goes_nowhere_else(self, site: Site, before: str, after_it: str) -> None:
        sheet = site.imported(before)
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after_it}"):
            site.become(sheet, after_it)

    @pytest.mark.parametrize("state", ["draft", "counting"])
    def test_it_starts(self, app: Connection, state: str) -> None:
        row(app, "rest.inventory_count", state=state)

    @pytest.mark.parametrize("state", ["submitted", "approved", "cancelled"])
    def test_it_starts_as_nothing_else(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f"cannot start as {state}"):
            row(app, "rest.inventory_count", state=state)


class TestHead:
    """What was decided stands, and a count stays at its site."""

    @pytest.mark.parametrize("state", ["approved", "cancelled"])
    @pytest.mark.parametrize("change", ["counted_value = 1", "count_number = 'X'"])
    def test_it_stands_once_it_is_decided(self, site: Site, state: str, change: str) -> None:
        site.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, that of it is not"):
            site.connection.execute(f"UPDATE rest.inventory_count SET {change}".encode())

    @pytest.mark.parametrize("state", ["draft", "counting", "submitted"])
    def test_before_that_it_is_written(self, site: Site, state: str) -> None:
        site.imported(state)
        site.connection.execute("UPDATE rest.inventory_count SET count_number = 'X'")

    @pytest.mark.parametrize("state", sorted(COUNT))
    def test_it_stays_at_its_site(self, site: Site, state: str) -> None:
        site.imported(state)
        elsewhere = row(site.connection, "rest.location")
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, that of it is not"):
            site.connection.execute("UPDATE rest.inventory_count SET location_id = %s", [elsewhere])

    def test_history_may_put_it_right(self, site: Site) -> None:
        site.imported("approved")
        site.connection.execute("RESET ROLE")
        site.connection.execute("UPDATE rest.inventory_count SET counted_value = 1")


class TestSheet:
    """start_count() writes what is to be counted, in the order in which it stands there."""

    @pytest.fixture
    def shop(self, site: Site) -> Site:
        """Besides the shelf: two items in the bar, one of class a, and the item elsewhere."""
        app, place = site.connection, site.shelf.place
        bar = row(
            app, "rest.storage_area", location_id=place, storage_kind="bar", count_sequence=-1
        )
        drinks = row(app, "rest.inventory_category")
        for code, letter, shelf in (("RUM", "c", 2), ("GIN", "a", 1)):
            item = row(
                app,
                "rest.inventory_item",
                item_code=code,
                abc_class=letter,
                inventory_category_id=drinks,
            )
            receive(app, Shelf(item, bar, place), 3, cost=20)
            app.execute(
                "UPDATE rest.stock_level SET shelf_sequence = %s WHERE inventory_item_id = %s",
                [shelf, item],
            )
        app.execute(
            "UPDATE rest.inventory_item SET item_code = 'MILK' WHERE inventory_item_id = %s",
            [site.shelf.item],
        )
        elsewhere = make_shelf(app)
        receive(app, Shelf(site.shelf.item, elsewhere.area, elsewhere.place), 99)
        return site

    def lines(self, connection: Connection) -> list[Any]:
        return connection.execute(
            "SELECT i.item_code, l.expected_qty::int, l.unit_cost::int"
            " FROM rest.inventory_count_line AS l JOIN rest.inventory_item AS i"
            " USING (inventory_item_id) ORDER BY l.sequence_no"
        ).fetchall()

    def test_a_full_count_is_of_all_that_lies_at_the_site(self, shop: Site) -> None:
        shop.start()
        assert self.lines(shop.connection) == [("GIN", 3, 20), ("RUM", 3, 20), ("MILK", 10, 2)]

    def test_a_category_is_counted_by_itself(self, shop: Site) -> None:
        drinks = one(
            shop.connection,
            "SELECT inventory_category_id FROM rest.inventory_item WHERE item_code = 'RUM'",
        )
        shop.start("category", drinks)
        assert self.lines(shop.connection) == [("GIN", 3, 20), ("RUM", 3, 20)]

    def test_key_items_are_those_of_class_a(self, shop: Site) -> None:
        shop.start("key_items")
        assert self.lines(shop.connection) == [("GIN", 3, 20)]

    def test_a_spot_count_is_of_what_is_written_on_it(self, shop: Site) -> None:
        sheet = shop.start("spot")
        assert self.lines(shop.connection) == []
        shop.write(sheet)
        assert self.lines(shop.connection) == [("MILK", 10, 2)]

    @pytest.mark.parametrize(
        ("kind", "freezes"),
        [("full", True), ("spot", False), ("key_items", False), ("category", False)],
    )
    def test_only_a_full_count_freezes_its_site(self, site: Site, kind: str, freezes: bool) -> None:
        category = one(site.connection, "SELECT inventory_category_id FROM rest.inventory_item")
        site.start(kind, category if kind == "category" else None)
        found = one(
            site.connection,
            "SELECT count_kind, state, freezes_stock, business_date::text, started_at = %s"
            " FROM rest.inventory_count",
            DAY,
        )
        assert found == (kind, "counting", freezes, "2026-05-04", True)

    @pytest.mark.parametrize("kind", ["full", "spot", "key_items"])
    def test_only_a_count_of_a_category_names_one(self, site: Site, kind: str) -> None:
        category = one(site.connection, "SELECT inventory_category_id FROM rest.inventory_item")
        with pytest.raises(errors.CheckViolation, match=f"kind {kind} is not of a category"):
            site.start(kind, category)

    def test_a_count_of_a_category_names_it(self, site: Site) -> None:
        with pytest.raises(errors.CheckViolation, match="kind category is of a category"):
            site.start("category")

    def test_there_is_no_other_kind(self, site: Site) -> None:
        with pytest.raises(errors.CheckViolation, match="inventory_count_kind_known"):
            site.start("yearly")

    def test_after_midnight_it_is_of_the_evening_before(self, site: Site) -> None:
        site.connection.execute(
            "SELECT rest.start_count(%s, %s, moment => '2026-05-05 03:59+00')",
            [site.shelf.place, site.counter],
        )
        found = one(site.connection, "SELECT business_date::text FROM rest.inventory_count")
        assert found == "2026-05-04"

    def test_each_has_its_number(self, site: Site) -> None:
        site.start("spot")
        site.start("spot")
        counted = "SELECT count(DISTINCT count_number) FROM rest.inventory_count"
        assert one(site.connection, counted) == 2


class TestLines:
    """A line is of its site, in the stock unit, and stands once the count is submitted."""

    @pytest.fixture
    def sheet(self, site: Site) -> UUID:
        return site.start("spot")

    def test_it_expects_what_the_books_say(self, site: Site, sheet: UUID) -> None:
        site.write(sheet)
        assert one(
            site.connection,
            "SELECT expected_qty::int, counted_qty, counted_at, variance_qty, unit_cost::int"
            " FROM rest.inventory_count_line",
        ) == (10, None, None, None, 2)

    def test_what_never_lay_there_is_not_expected(self, site: Site, sheet: UUID) -> None:
        other = row(site.connection, "rest.inventory_item", average_cost=3)
        site.write(sheet, Shelf(other, site.shelf.area, site.shelf.place), counted_unit_qty=1)
        assert one(
            site.connection,
            "SELECT expected_qty::int, variance_qty::int, variance_value::int"
            " FROM rest.inventory_count_line",
        ) == (0, 1, 3)

    def test_what_is_counted_in_cases_is_turned_into_the_stock_unit(
        self, site: Site, sheet: UUID
    ) -> None:
        app = site.connection
        case = row(app, "rest.unit_of_measure", unit_system="trade", factor_to_base=None)
        row(
            app,
            "rest.unit_conversion",
            inventory_item_id=site.shelf.item,
            from_unit_id=case,
            to_unit_id=one(
                app,
                "SELECT stock_unit_id FROM rest.inventory_item WHERE inventory_item_id = %s",
                site.shelf.item,
            ),
            factor=24,
            conversion_kind="pack",
        )
        site.write(sheet, unit_of_measure_id=case, counted_unit_qty=2)
        assert one(
            app, "SELECT counted_qty::int, variance_qty::int FROM rest.inventory_count_line"
        ) == (48, 38)

    def test_what_is_counted_in_the_stock_unit_is_counted_now(
        self, site: Site, sheet: UUID
    ) -> None:
        site.write(sheet, counted_qty=9)
        app = site.connection
        assert one(app, "SELECT counted_at = now() FROM rest.inventory_count_line")

    def test_a_recount_is_of_its_own_moment(self, site: Site, sheet: UUID) -> None:
        app = site.connection
        site.write(sheet, counted_qty=9, counted_at=NOON)
        consume(app, site.shelf, 2, happened=ONE)
        asks = (
            "SELECT counted_at = now(), expected_qty::int, variance_qty::int"
            " FROM rest.inventory_count_line"
        )
        assert one(app, asks) == (False, 10, -1)
        app.execute("UPDATE rest.inventory_count_line SET counted_qty = 8, recount_qty = 8")
        assert one(app, asks) == (True, 8, 0)

    def test_to_note_something_else_is_no_recount(self, site: Site, sheet: UUID) -> None:
        site.write(sheet, counted_qty=9, counted_at=NOON)
        site.connection.execute("UPDATE rest.inventory_count_line SET recount_qty = 9")
        assert one(site.connection, "SELECT counted_at = %s FROM rest.inventory_count_line", NOON)

    def test_it_is_of_the_site_of_its_count(self, site: Site, sheet: UUID) -> None:
        elsewhere = make_shelf(site.connection)
        with pytest.raises(errors.CheckViolation, match="of another site"):
            site.write(sheet, Shelf(site.shelf.item, elsewhere.area, elsewhere.place))

    def test_a_shelf_is_on_the_sheet_once(self, site: Site, sheet: UUID) -> None:
        site.write(sheet)
        with pytest.raises(errors.UniqueViolation):
            site.write(sheet)

    @pytest.mark.parametrize("column", ["count", "item", "area"])
    def test_it_keeps_its_place(self, site: Site, sheet: UUID, column: str) -> None:
        app, name = site.connection, {"count": "inventory_count_id", "item": "inventory_item_id"}
        site.write(sheet)
        other = {
            "count": lambda: site.start("spot"),
            "item": lambda: row(app, "rest.inventory_item"),
            "area": lambda: row(app, "rest.storage_area", location_id=site.shelf.place),
        }[column]()
        change = sql.SQL("UPDATE rest.inventory_count_line SET {} = %s").format(
            sql.Identifier(name.get(column, "storage_area_id"))
        )
        with pytest.raises(errors.RestrictViolation, match="keeps its sheet, its item and its"):
            app.execute(change, [other])

    @pytest.mark.parametrize("state", ["submitted", "approved", "cancelled"])
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE rest.inventory_count_line SET counted_qty = 3",
            "DELETE FROM rest.inventory_count_line",
            "UPDATE rest.inventory_count_line SET inventory_count_id = gen_random_uuid()",
        ],
    )
    def test_it_stands_with_its_count(self, site: Site, state: str, change: str) -> None:
        site.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, its lines stand"):
            site.connection.execute(change.encode())

    @pytest.mark.parametrize("state", ["submitted", "approved", "cancelled"])
    def test_none_is_added_then(self, site: Site, state: str) -> None:
        sheet = site.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, its lines stand"):
            site.write(sheet)

    @pytest.mark.parametrize("state", ["draft", "counting"])
    def test_before_that_it_is_written_and_taken_off(self, site: Site, state: str) -> None:
        site.imported(state)
        site.count(4)
        assert site.connection.execute("DELETE FROM rest.inventory_count_line").rowcount == 1


class TestTotals:
    """A count is submitted whole and then knows its worth."""

    def asks(self, connection: Connection) -> Any:
        return one(
            connection,
            "SELECT line_count, counted_value::int, variance_value::int FROM rest.inventory_count",
        )

    def test_it_is_worth_what_was_counted(self, site: Site) -> None:
        other = row(site.connection, "rest.inventory_item")
        receive(site.connection, Shelf(other, site.shelf.area, site.shelf.place), 10, cost=5)
        sheet = site.start()
        site.count(8)
        site.become(sheet, "submitted")
        assert self.asks(site.connection) == (2, 8 * 2 + 8 * 5, -2 * 2 - 2 * 5)

    def test_the_approval_knows_what_was_booked_late(self, site: Site) -> None:
        sheet = site.start()
        site.count(8, ONE)
        site.become(sheet, "submitted")
        assert self.asks(site.connection) == (1, 16, -4)
        consume(site.connection, site.shelf, 1, happened=NOON)
        site.become(sheet, "approved")
        assert self.asks(site.connection) == (1, 16, -2)

    def test_all_of_it_is_counted(self, site: Site) -> None:
        sheet = site.start()
        with pytest.raises(errors.CheckViolation, match="has 1 lines, 1 of them are not counted"):
            site.become(sheet, "submitted")

    def test_something_is_counted(self, site: Site) -> None:
        sheet = site.start("spot")
        with pytest.raises(errors.CheckViolation, match="has 0 lines"):
            site.become(sheet, "submitted")
