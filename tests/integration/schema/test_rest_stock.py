"""Stock is the sum of its ledger; what expires first is used first, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_rest_inventory import (
    DAY,
    Shelf,
    consume,
    differences,
    make_shelf,
    on_hand,
    receive,
)

IN = ("receipt", "transfer_in", "production_in")
OUT = ("sale", "waste", "transfer_out", "production_out", "vendor_return", "staff_meal")
LOT = {
    "available": {"quarantined", "recalled", "expired", "depleted"},
    "quarantined": {"available", "recalled", "expired", "depleted"},
    "recalled": {"available", "quarantined"},
    "expired": {"recalled", "depleted"},
    "depleted": {"available", "recalled"},
}


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


def lot_of(connection: Connection, code: str) -> UUID:
    found = connection.execute(
        "SELECT stock_lot_id FROM rest.stock_lot WHERE lot_code = %s", [code]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def move(connection: Connection, shelf: Shelf, quantity: float, kind: str, **given: Any) -> UUID:
    return row(
        connection,
        "rest.stock_movement",
        inventory_item_id=shelf.item,
        storage_area_id=shelf.area,
        movement_kind=kind,
        quantity=quantity,
        source_id=uuid4(),
        **{"occurred_at": DAY, "unit_cost": None, "business_date": None, **given},
    )


@pytest.mark.parametrize("kind", [*IN, *OUT])
@pytest.mark.parametrize("is_reversal", [False, True])
def test_the_sign_follows_the_kind(app: Connection, kind: str, is_reversal: bool) -> None:
    sign = 1 if (kind in IN) != is_reversal else -1
    given = {"movement_kind": kind, "is_reversal": is_reversal, "source_id": uuid4()}
    imported(app, "rest.stock_movement", quantity=sign, **given)
    with pytest.raises(errors.CheckViolation, match="stock_movement_sign_by_kind"):
        imported(app, "rest.stock_movement", quantity=-sign, **given)


@pytest.mark.parametrize("quantity", [1, -1])
def test_a_count_adjusts_either_way(app: Connection, quantity: int) -> None:
    given = {"movement_kind": "count_adjustment", "source_id": uuid4()}
    imported(app, "rest.stock_movement", quantity=quantity, **given)


class TestLots:
    """A lot is used, stopped, released or thrown away."""

    @pytest.mark.parametrize(
        ("before", "after_it"), [(b, a) for b, states in LOT.items() for a in sorted(states)]
    )
    def test_it_goes_on(self, app: Connection, before: str, after_it: str) -> None:
        imported(app, "rest.stock_lot", status=before)
        app.execute("UPDATE rest.stock_lot SET status = %s", [after_it])

    @pytest.mark.parametrize(("before", "after_it"), refused(LOT))
    def test_it_goes_nowhere_else(self, app: Connection, before: str, after_it: str) -> None:
        imported(app, "rest.stock_lot", status=before)
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after_it}"):
            app.execute("UPDATE rest.stock_lot SET status = %s", [after_it])

    @pytest.mark.parametrize("status", ["available", "quarantined"])
    def test_it_starts(self, app: Connection, status: str) -> None:
        row(app, "rest.stock_lot", status=status)

    @pytest.mark.parametrize("status", ["recalled", "expired", "depleted"])
    def test_it_starts_as_nothing_else(self, app: Connection, status: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f"cannot start as {status}"):
            row(app, "rest.stock_lot", status=status)

    @pytest.mark.parametrize(
        ("before", "empty"),
        [
            ("available", "depleted"),
            ("quarantined", "depleted"),
            ("expired", "depleted"),
            ("recalled", "recalled"),
        ],
    )
    def test_what_is_empty_is_depleted_unless_it_was_recalled(
        self, app: Connection, shelf: Shelf, before: str, empty: str
    ) -> None:
        lot = receive(app, shelf, 5, "A")
        app.execute("UPDATE rest.stock_lot SET status = %s", [before])
        move(app, shelf, -4, "waste", stock_lot_id=lot)
        assert app.execute("SELECT status FROM rest.stock_lot").fetchone() == (before,)
        move(app, shelf, -1, "waste", stock_lot_id=lot)
        assert app.execute("SELECT status FROM rest.stock_lot").fetchone() == (empty,)

    def test_what_comes_back_into_an_empty_lot_is_used_again(
        self, app: Connection, shelf: Shelf
    ) -> None:
        document = uuid4()
        receive(app, shelf, 5, "A")
        consume(app, shelf, 5, source_ref=document)
        app.execute("SELECT rest.reverse_stock('check_item', %s)", [document])
        found = app.execute("SELECT status, remaining_qty FROM rest.stock_lot").fetchone()
        assert found == ("available", 5)

    @pytest.mark.parametrize(
        ("hours", "given", "expected"),
        [(None, None, None), (36, None, 36), (36, "2026-05-04 12:00+00", 2)],
    )
    def test_what_is_opened_is_thrown_away_in_time(
        self, app: Connection, hours: int | None, given: str | None, expected: int | None
    ) -> None:
        receive(app, make_shelf(app, opened_life_hours=hours), 5, "A")
        app.execute("UPDATE rest.stock_lot SET opened_at = %s, discard_at = %s", [DAY, given])
        found = app.execute(
            "SELECT extract(epoch FROM discard_at - opened_at)::int / 3600 FROM rest.stock_lot"
        ).fetchone()
        assert found == (expected,)


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

    @pytest.mark.parametrize(
        ("kind", "source"),
        [
            ("receipt", "receipt"),
            ("production_in", "production"),
            ("transfer_in", "transfer"),
            ("count_adjustment", "opening"),
        ],
    )
    def test_a_lot_knows_how_it_came(
        self, app: Connection, shelf: Shelf, kind: str, source: str
    ) -> None:
        app.execute(
            "SELECT rest.receive_stock(%s, %s, 5, 2, %s, source_ref => %s, lot => 'A',"
            " use_by => '2026-05-09', trace_code => 'TLC', happened => '2026-05-05 03:00+00')",
            [shelf.item, shelf.area, kind, uuid4()],
        )
        found = app.execute(
            "SELECT source_kind, received_on::text, use_by_on::text, traceability_lot_code"
            " FROM rest.stock_lot"
        ).fetchone()
        assert found == (source, "2026-05-04", "2026-05-09", "TLC")

    @pytest.mark.parametrize("kind", ["sale", "waste"])
    def test_what_goes_out_does_not_move_the_average(
        self, app: Connection, lots: Shelf, kind: str
    ) -> None:
        move(app, lots, -1, kind, unit_cost=99)
        found = app.execute(
            "SELECT i.average_cost::int, l.average_cost::int FROM rest.inventory_item AS i"
            " JOIN rest.stock_level AS l USING (inventory_item_id)"
        ).fetchone()
        assert found == (2, 2)

    def test_what_was_sold_beyond_the_books_does_not_weigh(
        self, app: Connection, shelf: Shelf
    ) -> None:
        receive(app, shelf, 1, cost=2)
        consume(app, shelf, 5, may_run_short=True)
        receive(app, shelf, 10, cost=6)
        found = app.execute("SELECT average_cost::int FROM rest.stock_level").fetchone()
        assert found == (6,)

    def test_each_movement_knows_what_then_lay_there(self, app: Connection, lots: Shelf) -> None:
        consume(app, lots, 5)
        found = app.execute(
            "SELECT balance_after::int FROM rest.stock_movement ORDER BY 1"
        ).fetchall()
        assert found == [(5,), (7,), (8,), (9,), (12,)]

    @pytest.mark.parametrize("column", ["inventory_item_id", "storage_area_id"])
    def test_a_level_stays_where_it_is(self, app: Connection, lots: Shelf, column: str) -> None:
        other = row(app, f"rest.{column.removesuffix('_id')}")
        change = sql.SQL("UPDATE rest.stock_level SET {} = %s").format(sql.Identifier(column))
        with pytest.raises(errors.RestrictViolation, match="follows the ledger"):
            app.execute(change, [other])

    def test_how_much_should_lie_there_is_written_by_hand(
        self, app: Connection, lots: Shelf
    ) -> None:
        app.execute("UPDATE rest.stock_level SET min_qty = 2, par_qty = 4, max_qty = 8")
        app.execute("UPDATE rest.stock_lot SET status = 'quarantined', opened_at = %s", [DAY])

    def test_an_empty_level_may_go(self, app: Connection) -> None:
        row(app, "rest.stock_level")
        assert app.execute("DELETE FROM rest.stock_level").rowcount == 1

    def test_history_brings_its_own_levels(self, app: Connection, shelf: Shelf) -> None:
        app.execute("RESET ROLE")
        move(app, shelf, 3, "receipt", unit_cost=1, balance_after=3, business_date="2026-05-04")
        assert on_hand(app, shelf) is None
        assert differences(app) == [(0, 3)]

    def test_a_level_without_movements_is_found(self, app: Connection, shelf: Shelf) -> None:
        imported(
            app,
            "rest.stock_level",
            inventory_item_id=shelf.item,
            storage_area_id=shelf.area,
            on_hand_qty=2,
        )
        imported(app, "rest.stock_lot", initial_qty=5, remaining_qty=4)
        assert sorted(differences(app)) == [(2, 0), (4, 0)]

    def test_what_was_taken_in_two_steps_comes_back(self, app: Connection, lots: Shelf) -> None:
        document = uuid4()
        for _ in range(2):
            consume(app, lots, 4, source_ref=document)
        consume(app, lots, 1)
        back = "SELECT rest.reverse_stock('check_item', %s, '2026-05-30')"
        assert app.execute(back.encode(), [document]).fetchone() == (2,)
        consume(app, lots, 2, source_ref=document)
        assert app.execute(back.encode(), [document]).fetchone() == (1,)
        assert on_hand(app, lots) == 11
        assert differences(app) == []

    def test_another_document_is_not_reversed(self, app: Connection, lots: Shelf) -> None:
        document = uuid4()
        consume(app, lots, 4, source_ref=document)
        back = "SELECT rest.reverse_stock('waste_log', %s)"
        assert app.execute(back.encode(), [document]).fetchone() == (0,)
        assert on_hand(app, lots) == 8


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

    def test_of_one_date_what_came_first_goes_first(self, app: Connection, shelf: Shelf) -> None:
        receive(app, shelf, 1, "B", "2026-05-20")
        receive(app, shelf, 1, "A", "2026-05-20")
        app.execute("UPDATE rest.stock_lot SET received_on = '2026-05-01' WHERE lot_code = 'B'")
        receive(app, shelf, 1, "C", "2026-05-20")
        assert consume(app, shelf, 3) == [("B", -1), ("A", -1), ("C", -1)]

    def test_it_takes_of_every_area_of_the_site_and_of_no_other(
        self, app: Connection, lots: Shelf
    ) -> None:
        bar = row(app, "rest.storage_area", location_id=lots.place)
        receive(app, Shelf(lots.item, bar, lots.place), 2, "FIRST", "2026-05-08")
        elsewhere = make_shelf(app)
        receive(app, Shelf(lots.item, elsewhere.area, elsewhere.place), 9, "NOT", "2026-05-05")
        assert consume(app, lots, 3) == [("FIRST", -2), ("SOON", -1)]
        with pytest.raises(errors.CheckViolation, match=r"11\.0000 of 22\.0000 is missing"):
            consume(app, lots, 22)

    def test_the_last_of_it_is_used(self, app: Connection, lots: Shelf) -> None:
        consume(app, lots, 12)
        assert on_hand(app, lots) == 0
        with pytest.raises(errors.CheckViolation, match=r"0\.0001 of 0\.0001 is missing"):
            consume(app, lots, 0.0001)

    def test_lots_that_came_after_they_were_sold_hold_less_than_they_say(
        self, app: Connection, shelf: Shelf
    ) -> None:
        receive(app, shelf, 3)
        consume(app, shelf, 5, may_run_short=True)
        receive(app, shelf, 4, "A", "2026-05-20")
        receive(app, shelf, 1, "B", "2026-05-21")
        with (
            pytest.raises(errors.CheckViolation, match=r"2\.0000 of 5\.0000 is missing"),
            app.transaction(),
        ):
            consume(app, shelf, 5)
        assert consume(app, shelf, 3) == [("A", -3)]
        assert consume(app, shelf, 2, may_run_short=True) == [("A", -1), ("B", -1)]
        assert on_hand(app, shelf) == -2
        assert differences(app) == []

    def test_what_is_not_there_is_taken_from_where_it_belongs(
        self, app: Connection, shelf: Shelf
    ) -> None:
        row(app, "rest.storage_area", location_id=shelf.place, storage_kind="bar")
        consume(app, shelf, 2, may_run_short=True)
        assert on_hand(app, shelf) == -2

    def test_or_from_the_area_that_is_named(self, app: Connection, lots: Shelf) -> None:
        bar = row(app, "rest.storage_area", location_id=lots.place, storage_kind="bar")
        assert consume(app, lots, 2, may_run_short=True, only_area=bar) == [(None, -2)]
        assert on_hand(app, Shelf(lots.item, bar, lots.place)) == -2

    def test_what_is_named_is_not_used_where_it_is_stopped(
        self, app: Connection, lots: Shelf
    ) -> None:
        app.execute("UPDATE rest.stock_lot SET status = 'quarantined' WHERE lot_code = 'ANY'")
        with pytest.raises(errors.CheckViolation, match=r"1\.0000 of 1\.0000 is missing"):
            consume(app, lots, 1, only_lot=lot_of(app, "ANY"))

    @pytest.mark.parametrize("kind", ["sale", "staff_meal", "production_out", "transfer_out"])
    @pytest.mark.parametrize(
        ("column", "value"), [("use_by_on", "2026-05-03"), ("discard_at", "2026-05-04 10:00+00")]
    )
    def test_what_is_past_its_date_is_not_used_by_hand_either(
        self, app: Connection, shelf: Shelf, kind: str, column: str, value: str
    ) -> None:
        lot = receive(app, shelf, 5, "A")
        app.execute("UPDATE rest.stock_lot SET received_on = '2026-05-01'")
        change = sql.SQL("UPDATE rest.stock_lot SET {} = %s").format(sql.Identifier(column))
        app.execute(change, [value])
        with pytest.raises(errors.CheckViolation, match="lot A is past its date, it is not used"):
            move(app, shelf, -1, kind, stock_lot_id=lot)

    @pytest.mark.parametrize("kind", ["waste", "vendor_return"])
    @pytest.mark.parametrize("status", ["quarantined", "recalled", "expired"])
    def test_it_is_thrown_away_or_returned(
        self, app: Connection, shelf: Shelf, kind: str, status: str
    ) -> None:
        lot = receive(app, shelf, 5, "A")
        app.execute("UPDATE rest.stock_lot SET status = %s", [status])
        move(app, shelf, -2, kind, stock_lot_id=lot)
        assert on_hand(app, shelf) == 3

    @pytest.mark.parametrize("status", ["recalled", "depleted"])
    def test_what_is_gone_or_stopped_does_not_expire(
        self, app: Connection, shelf: Shelf, status: str
    ) -> None:
        receive(app, shelf, 5, "A", "2026-05-10")
        if status == "depleted":
            consume(app, shelf, 5)
        else:
            app.execute("UPDATE rest.stock_lot SET status = %s", [status])
        assert app.execute("SELECT rest.expire_lots('2026-06-01')").fetchone() == (0,)

    def test_each_site_has_its_own_day(self, app: Connection) -> None:
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            place = row(app, "rest.location", timezone=zone)
            area = row(app, "rest.storage_area", location_id=place)
            shelf = Shelf(row(app, "rest.inventory_item"), area, place)
            receive(app, shelf, 5, "A", "2026-05-10")
        expire = "SELECT rest.expire_lots(%s)"
        # Four in the morning of the 11th, where the sun rises first and where it does last.
        assert app.execute(expire.encode(), ["2026-05-10 14:00+00"]).fetchone() == (1,)
        assert app.execute(expire.encode(), ["2026-05-11 14:59+00"]).fetchone() == (0,)
        assert app.execute(expire.encode(), ["2026-05-11 15:00+00"]).fetchone() == (1,)


class TestAtOnce:
    """Nothing is used twice, and nobody waits for somebody who waits for him."""

    @pytest.fixture
    def kitchen(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> tuple[Target, UUID, Shelf]:
        """A committed shelf with ten to use late and fifteen to use soon."""
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            shelf = make_shelf(connection)
            receive(connection, shelf, 10, "LATE", "2026-05-20")
            receive(connection, shelf, 15, "SOON", "2026-05-10")
        return target, tenant, shelf

    @pytest.mark.parametrize(("hands", "each", "served"), [(6, 10, 2), (2, 25, 1)])
    def test_two_tills_do_not_use_the_same_piece(
        self, kitchen: tuple[Target, UUID, Shelf], hands: int, each: int, served: int
    ) -> None:
        target, tenant, shelf = kitchen

        def sell(connection: Connection, _: int) -> bool:
            try:
                consume(connection, shelf, each)
            except errors.CheckViolation:
                connection.rollback()
                return False
            return True

        assert sum(at_once(target, tenant, hands, sell)) == served
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            assert differences(connection) == []
            assert on_hand(connection, shelf) == 25 - each * served

    def test_receipts_that_come_at_once_all_weigh(
        self, kitchen: tuple[Target, UUID, Shelf]
    ) -> None:
        target, tenant, shelf = kitchen
        at_once(target, tenant, 4, lambda c, n: receive(c, shelf, 25, f"N{n}", cost=4))
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            found = connection.execute(
                "SELECT i.average_cost, l.average_cost, l.on_hand_qty"
                " FROM rest.inventory_item AS i JOIN rest.stock_level AS l"
                " USING (inventory_item_id)"
            ).fetchone()
            assert found == (Decimal("3.6"), Decimal("3.6"), 125)
            assert differences(connection) == []

    def test_a_document_that_is_reversed_twice_at_once_comes_back_once(
        self, kitchen: tuple[Target, UUID, Shelf]
    ) -> None:
        target, tenant, shelf = kitchen
        document = uuid4()
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            consume(connection, shelf, 20, source_ref=document)
        back = "SELECT rest.reverse_stock('check_item', %s)"
        got = at_once(
            target, tenant, 2, lambda c, _: c.execute(back.encode(), [document]).fetchone()
        )
        assert sorted(got) == [(0,), (2,)]

    def test_a_sale_takes_lots_in_the_order_of_a_recall(
        self, kitchen: tuple[Target, UUID, Shelf]
    ) -> None:
        target, tenant, shelf = kitchen
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            keys = sorted(lot_of(connection, code) for code in ("LATE", "SOON"))
        take = "SELECT FROM rest.stock_lot WHERE stock_lot_id = %s FOR UPDATE NOWAIT"
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            first.execute(take.encode(), [keys[0]])
            after(
                target,
                tenant,
                first,
                lambda c: consume(c, shelf, 1),
                # The sale that waits for the first lot has not got the second one yet.
                lambda c: c.execute(take.encode(), [keys[1]]),
            )

    def test_what_is_used_up_meanwhile_does_not_expire(
        self, kitchen: tuple[Target, UUID, Shelf]
    ) -> None:
        target, tenant, shelf = kitchen
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            consume(first, shelf, 15)
            expire = "SELECT rest.expire_lots('2026-06-01')"
            found = after(target, tenant, first, lambda c: c.execute(expire.encode()).fetchone())
        assert found == (1,)

    def test_expiry_takes_no_lot_without_its_level(
        self, kitchen: tuple[Target, UUID, Shelf]
    ) -> None:
        target, tenant, _ = kitchen
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            first.execute("SELECT FROM rest.stock_level FOR UPDATE")
            after(
                target,
                tenant,
                first,
                lambda c: c.execute("SELECT rest.expire_lots('2026-06-01')"),
                lambda c: c.execute("SELECT FROM rest.stock_lot FOR UPDATE NOWAIT"),
            )
