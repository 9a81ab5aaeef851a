"""What is shipped leaves its site and arrives at the other as the same lots, or with a cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

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

TRANSFER: dict[str, set[str]] = {
    "requested": {"approved", "cancelled"},
    "approved": {"picked", "cancelled"},
    "picked": {"in_transit", "cancelled"},
    "in_transit": {"received"},
    "received": set(),
    "cancelled": set(),
}
EDITED = ("requested", "approved", "picked")
LATER = "2026-05-04 15:00+00"


@dataclass
class Van:
    """A transfer between two sites with one line, and where its goods come from and go to."""

    connection: Connection
    source: Shelf
    target: Shelf
    transfer: UUID
    line: UUID

    def become(self, *states: str) -> None:
        for state in states:
            self.connection.execute(
                "UPDATE rest.stock_transfer SET state = %(state)s,"
                " shipped_at = CASE WHEN %(state)s IN ('in_transit', 'received')"
                " THEN requested_at END,"
                " received_at = CASE %(state)s WHEN 'received' THEN %(later)s::timestamptz END"
                " WHERE stock_transfer_id = %(key)s",
                {"state": state, "later": LATER, "key": self.transfer},
            )

    def imported(self, state: str) -> None:
        """Brings the transfer into a state as history does, without its movements."""
        self.connection.execute("RESET ROLE")
        self.connection.execute(
            "ALTER TABLE rest.stock_transfer DISABLE TRIGGER stock_transfer_state_machine"
        )
        self.become(state)
        self.connection.execute(
            "ALTER TABLE rest.stock_transfer ENABLE TRIGGER stock_transfer_state_machine"
        )
        self.connection.execute("SET LOCAL ROLE app_user")

    def ship(self) -> None:
        self.become("approved", "picked", "in_transit")

    def note(self, quantity: float, kind: str = "none") -> None:
        self.connection.execute(
            "UPDATE rest.stock_transfer_line SET received_qty = %s, discrepancy_kind = %s"
            " WHERE stock_transfer_line_id = %s",
            [quantity, kind, self.line],
        )

    def change(self, column: str, value: Any) -> None:
        self.connection.execute(
            sql.SQL(
                "UPDATE rest.stock_transfer_line SET {} = %s WHERE stock_transfer_line_id = %s"
            ).format(sql.Identifier(column)),
            [value, self.line],
        )

    def lots(self, shelf: Shelf) -> list[Any]:
        """(code, use by, quantity) of what lies on a shelf."""
        return self.connection.execute(
            "SELECT lot_code, use_by_on::text, remaining_qty::float8 FROM rest.stock_lot"
            " WHERE storage_area_id = %s AND remaining_qty > 0 ORDER BY lot_code",
            [shelf.area],
        ).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        found = self.connection.execute(query.encode(), values).fetchone()
        assert found
        return found[0] if len(found) == 1 else found

    def differences(self) -> list[Any]:
        return self.connection.execute(
            "SELECT figure, said, found FROM rest.transfer_differences() ORDER BY figure"
        ).fetchall()


def load(
    connection: Connection, quantity: float = 7, cost_method: str = "average", **line: Any
) -> Van:
    """Four to use by the 10th and five by the 20th; some of them are to go to another site."""
    source = make_shelf(connection, item_code="CREAM", cost_method=cost_method)
    receive(connection, source, 5, "LATE", "2026-05-20", cost=3)
    receive(connection, source, 4, "SOON", "2026-05-10")
    there = row(connection, "rest.location", timezone="UTC")
    area = row(connection, "rest.storage_area", location_id=there, storage_kind="walk_in")
    unit = connection.execute("SELECT stock_unit_id FROM rest.inventory_item").fetchone()
    assert unit
    transfer = row(
        connection,
        "rest.stock_transfer",
        from_location_id=source.place,
        to_location_id=there,
        requested_at=DAY,
    )
    line_id = row(
        connection,
        "rest.stock_transfer_line",
        stock_transfer_id=transfer,
        inventory_item_id=source.item,
        requested_qty=quantity,
        **{"unit_of_measure_id": unit[0], **line},
    )
    return Van(connection, source, Shelf(source.item, area, there), transfer, line_id)


@pytest.fixture
def van(app: Connection) -> Van:
    return load(app)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("stock_transfer", {"transfer_kind": "gift"}, "kind_known"),
        ("stock_transfer", {"state": "lost"}, "state_known"),
        ("stock_transfer", {"state": "in_transit"}, "state_has_times"),
        ("stock_transfer", {"shipped_at": DAY}, "state_has_times"),
        ("stock_transfer", {"state": "received", "shipped_at": DAY}, "state_has_times"),
        (
            "stock_transfer",
            {"state": "in_transit", "shipped_at": DAY, "received_at": DAY},
            "state_has_times",
        ),
        ("stock_transfer", {"state": "in_transit", "shipped_at": "2026-05-03"}, "in_order"),
        (
            "stock_transfer",
            {"state": "received", "shipped_at": LATER, "received_at": DAY},
            "in_order",
        ),
        ("stock_transfer_line", {"discrepancy_kind": "late"}, "discrepancy_kind_known"),
        ("stock_transfer_line", {"requested_qty": 0}, "quantities_not_negative"),
        ("stock_transfer_line", {"shipped_qty": -1}, "quantities_not_negative"),
        ("stock_transfer_line", {"received_qty": -1}, "quantities_not_negative"),
        ("stock_transfer_line", {"shipped_qty": 2, "received_qty": 1}, "differs_for_a_cause"),
        ("stock_transfer_line", {"shipped_qty": 2, "received_qty": 3}, "differs_for_a_cause"),
        *(
            (
                "stock_transfer_line",
                {"shipped_qty": 2, "received_qty": got, "discrepancy_kind": kind},
                "differs_for_a_cause",
            )
            for kind, got in (
                ("over", 2),
                ("over", 1),
                ("short", 2),
                ("short", 3),
                ("damaged", 2),
                ("warm", 2),
            )
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    given = {"requested_at": DAY, **columns} if table == "stock_transfer" else columns
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        imported(app, f"rest.{table}", **given)


def test_a_transfer_goes_elsewhere(app: Connection) -> None:
    place = row(app, "rest.location")
    with pytest.raises(errors.CheckViolation, match="stock_transfer_goes_elsewhere"):
        row(app, "rest.stock_transfer", from_location_id=place, to_location_id=place)


class TestStates:
    """A transfer is approved, picked, shipped and received; what is on the way arrives."""

    @pytest.mark.parametrize(
        ("before", "after_it"), [(b, a) for b, states in TRANSFER.items() for a in sorted(states)]
    )
    def test_it_goes_on(self, van: Van, before: str, after_it: str) -> None:
        van.imported(before)
        van.become(after_it)
        assert van.one("SELECT state FROM rest.stock_transfer") == after_it

    @pytest.mark.parametrize(("before", "after_it"), refused(TRANSFER))
    def test_it_goes_nowhere_else(self, van: Van, before: str, after_it: str) -> None:
        van.imported(before)
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after_it}"):
            van.become(after_it)

    @pytest.mark.parametrize("state", sorted(TRANSFER.keys() - {"requested"}))
    def test_it_starts_with_a_request(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f"cannot start as {state}"):
            row(app, "rest.stock_transfer", state=state)


class TestHead:
    """What was received or given up stands; what is on the way left where it left."""

    def change(self, van: Van, column: str) -> None:
        value = row(van.connection, "rest.location") if column.endswith("_id") else None
        values = {"shipped_at": "2026-05-04 11:00+00", "total_value": 1, "vehicle_temp_c": 4}
        van.connection.execute(
            sql.SQL("UPDATE rest.stock_transfer SET {} = %s WHERE stock_transfer_id = %s").format(
                sql.Identifier(column)
            ),
            [value or values[column], van.transfer],
        )

    @pytest.mark.parametrize("state", ["received", "cancelled"])
    @pytest.mark.parametrize("column", ["to_location_id", "vehicle_temp_c"])
    def test_it_stands_in_the_end(self, van: Van, state: str, column: str) -> None:
        van.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, that of it is not"):
            self.change(van, column)

    @pytest.mark.parametrize("column", ["from_location_id", "shipped_at", "total_value"])
    def test_on_the_way_it_left_where_it_left(self, van: Van, column: str) -> None:
        van.imported("in_transit")
        with pytest.raises(errors.RestrictViolation, match="is in_transit, that of it is not"):
            self.change(van, column)

    @pytest.mark.parametrize("column", ["to_location_id", "vehicle_temp_c"])
    def test_on_the_way_it_is_sent_elsewhere(self, van: Van, column: str) -> None:
        van.imported("in_transit")
        self.change(van, column)

    @pytest.mark.parametrize("state", EDITED)
    def test_before_that_it_is_edited(self, van: Van, state: str) -> None:
        van.imported(state)
        self.change(van, "from_location_id")

    def test_history_may_put_it_right(self, van: Van) -> None:
        van.imported("received")
        van.connection.execute("RESET ROLE")
        self.change(van, "total_value")


class TestLines:
    """Lines are edited until they are shipped; then what arrives is noted, and then they stand."""

    @pytest.mark.parametrize("state", EDITED)
    def test_before_it_is_shipped_it_is_edited(self, van: Van, state: str) -> None:
        van.imported(state)
        van.change("requested_qty", 3)
        row(van.connection, "rest.stock_transfer_line", stock_transfer_id=van.transfer)
        assert van.connection.execute("DELETE FROM rest.stock_transfer_line").rowcount == 2

    @pytest.mark.parametrize("state", sorted(TRANSFER.keys() - set(EDITED)))
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE rest.stock_transfer_line SET requested_qty = 3",
            "DELETE FROM rest.stock_transfer_line",
        ],
    )
    def test_afterwards_it_is_not(self, van: Van, state: str, change: str) -> None:
        van.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, its lines stand"):
            van.connection.execute(change.encode())

    @pytest.mark.parametrize("state", sorted(TRANSFER.keys() - set(EDITED)))
    def test_none_is_added_then(self, van: Van, state: str) -> None:
        van.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, its lines stand"):
            row(van.connection, "rest.stock_transfer_line", stock_transfer_id=van.transfer)

    def test_on_the_way_what_arrives_is_noted(self, van: Van) -> None:
        van.ship()
        van.note(6, "damaged")
        van.change("note", "One pot broke")
        assert van.one(
            "SELECT received_qty::int, discrepancy_kind, note FROM rest.stock_transfer_line"
        ) == (6, "damaged", "One pot broke")

    @pytest.mark.parametrize(
        ("column", "value"),
        [("shipped_qty", 1), ("unit_cost", 0), ("line_number", 99), ("requested_qty", 1)],
    )
    def test_and_nothing_else(self, van: Van, column: str, value: int) -> None:
        van.ship()
        with pytest.raises(errors.RestrictViolation, match="is in_transit, its lines stand"):
            van.change(column, value)

    @pytest.mark.parametrize("state", ["received", "cancelled"])
    def test_it_is_not_noted_afterwards(self, van: Van, state: str) -> None:
        van.imported(state)
        with pytest.raises(errors.RestrictViolation, match=f"is {state}, its lines stand"):
            van.change("note", "One pot broke")

    @pytest.mark.parametrize("state", ["requested", "in_transit"])
    def test_it_stays_on_its_transfer(self, van: Van, state: str) -> None:
        van.imported(state)
        other = row(van.connection, "rest.stock_transfer")
        with pytest.raises(errors.RestrictViolation, match="stays on it"):
            van.change("stock_transfer_id", other)

    def test_history_brings_lines_of_what_is_done(self, van: Van) -> None:
        van.imported("received")
        imported(van.connection, "rest.stock_transfer_line", stock_transfer_id=van.transfer)


class TestShipping:
    """What is shipped leaves its site, the lot that is named or what expires first."""

    def test_what_expires_first_leaves(self, van: Van) -> None:
        van.ship()
        assert van.lots(van.source) == [("LATE", "2026-05-20", 2)]
        assert differences(van.connection) == []

    def test_it_is_worth_what_it_cost(self, app: Connection) -> None:
        van = load(app, cost_method="fifo")
        van.ship()
        assert van.one(
            "SELECT l.shipped_qty::int, l.line_value::int, t.total_value::int"
            " FROM rest.stock_transfer_line AS l JOIN rest.stock_transfer AS t"
            " USING (stock_transfer_id)"
        ) == (7, 4 * 2 + 3 * 3, 4 * 2 + 3 * 3)

    def test_what_was_put_on_the_van_leaves(self, app: Connection) -> None:
        van = load(app, shipped_qty=5)
        van.ship()
        assert on_hand(app, van.source) == 4

    def test_the_lot_that_is_named_leaves(self, van: Van) -> None:
        lot = van.one("SELECT stock_lot_id FROM rest.stock_lot WHERE lot_code = 'LATE'")
        van.change("stock_lot_id", lot)
        van.change("requested_qty", 5)
        van.ship()
        assert van.lots(van.source) == [("SOON", "2026-05-10", 4)]

    @pytest.mark.parametrize("quantity", [6, 1])
    def test_it_does_not_leave_where_it_lacks_or_is_stopped(self, van: Van, quantity: int) -> None:
        lot = van.one("SELECT stock_lot_id FROM rest.stock_lot WHERE lot_code = 'LATE'")
        van.change("stock_lot_id", lot)
        van.change("requested_qty", quantity)
        if quantity == 1:
            van.connection.execute("UPDATE rest.stock_lot SET status = 'quarantined'")
        with pytest.raises(errors.CheckViolation, match=r"is short of CREAM: 1\.0000"):
            van.ship()

    def test_what_is_not_there_is_not_shipped(self, app: Connection) -> None:
        van = load(app, 10)
        with pytest.raises(errors.CheckViolation, match=r"is short of CREAM: 1\.0000 of 10\.0000"):
            van.ship()

    def test_it_leaves_in_the_stock_unit(self, van: Van) -> None:
        case = row(van.connection, "rest.unit_of_measure", unit_system="trade", factor_to_base=None)
        row(
            van.connection,
            "rest.unit_conversion",
            inventory_item_id=van.source.item,
            from_unit_id=case,
            to_unit_id=van.one("SELECT stock_unit_id FROM rest.inventory_item"),
            factor=3,
            conversion_kind="pack",
        )
        van.change("unit_of_measure_id", case)
        van.change("requested_qty", 2)
        van.ship()
        assert on_hand(van.connection, van.source) == 3
        van.become("received")
        assert on_hand(van.connection, van.target) == 6
        assert van.differences() == []

    def test_each_of_its_lines_leaves(self, van: Van) -> None:
        row(
            van.connection,
            "rest.stock_transfer_line",
            stock_transfer_id=van.transfer,
            inventory_item_id=van.source.item,
            unit_of_measure_id=van.one("SELECT stock_unit_id FROM rest.inventory_item"),
            requested_qty=2,
        )
        van.ship()
        assert on_hand(van.connection, van.source) == 0
        assert van.differences() == []

    @pytest.mark.parametrize("end", ["source", "target"])
    def test_a_count_holds_it_up_at_either_end(self, van: Van, end: str) -> None:
        frozen = {"count_kind": "full", "state": "counting", "freezes_stock": True}
        place = getattr(van, end).place
        if end == "target":
            van.ship()
        row(van.connection, "rest.inventory_count", location_id=place, **frozen)
        with pytest.raises(errors.RestrictViolation, match="stock is frozen"):
            van.become(*(("received",) if end == "target" else (*EDITED[1:], "in_transit")))

    def test_what_is_cancelled_stays(self, van: Van) -> None:
        van.become("approved", "picked", "cancelled")
        assert on_hand(van.connection, van.source) == 9

    def test_history_brings_its_own_movements(self, van: Van) -> None:
        van.connection.execute("RESET ROLE")
        van.ship()
        van.become("received")
        assert van.one("SELECT count(*) FROM rest.stock_movement") == 2


class TestArrival:
    """What arrives are the lots that left, at the cost at which they left."""

    def test_the_lots_keep_their_codes_and_dates(self, van: Van) -> None:
        van.connection.execute(
            "UPDATE rest.stock_lot SET traceability_lot_code = 'TLC-' || lot_code"
        )
        van.ship()
        van.become("received")
        assert van.lots(van.target) == [("LATE", "2026-05-20", 3), ("SOON", "2026-05-10", 4)]
        found = van.connection.execute(
            "SELECT traceability_lot_code, source_kind, received_on::text FROM rest.stock_lot"
            " WHERE storage_area_id = %s ORDER BY 1",
            [van.target.area],
        ).fetchall()
        day = "2026-05-04"
        assert found == [("TLC-LATE", "transfer", day), ("TLC-SOON", "transfer", day)]
        assert van.differences() == []
        assert differences(van.connection) == []

    def test_it_comes_at_its_cost(self, app: Connection) -> None:
        van = load(app, cost_method="fifo")
        before = van.one("SELECT average_cost FROM rest.inventory_item")
        van.ship()
        van.become("received")
        found = app.execute(
            "SELECT quantity::int, unit_cost::int FROM rest.stock_movement"
            " WHERE movement_kind = 'transfer_in' ORDER BY 1"
        ).fetchall()
        assert found == [(3, 3), (4, 2)]
        # What goes from one shelf to another costs the company nothing new.
        assert van.one("SELECT average_cost FROM rest.inventory_item") == before

    @pytest.mark.parametrize("kind", ["short", "damaged", "warm"])
    def test_of_what_comes_in_part_the_first_lots_come(self, van: Van, kind: str) -> None:
        van.ship()
        van.note(5, kind)
        van.become("received")
        assert van.lots(van.target) == [("LATE", "2026-05-20", 1), ("SOON", "2026-05-10", 4)]
        assert van.differences() == []
        assert differences(van.connection) == []

    def test_what_came_too_much_is_more_of_the_last_lot(self, van: Van) -> None:
        van.ship()
        van.note(8, "over")
        van.become("received")
        assert van.lots(van.target) == [("LATE", "2026-05-20", 4), ("SOON", "2026-05-10", 4)]
        assert van.differences() == []
        assert differences(van.connection) == []

    @pytest.mark.parametrize(("quantity", "kind"), [(8, "none"), (8, "short"), (6, "none")])
    def test_more_or_less_than_was_shipped_has_its_cause(
        self, van: Van, quantity: int, kind: str
    ) -> None:
        van.ship()
        with pytest.raises(errors.CheckViolation, match="differs_for_a_cause"):
            van.note(quantity, kind)

    def test_nothing_may_come_of_it(self, van: Van) -> None:
        van.ship()
        van.note(0, "warm")
        van.become("received")
        assert on_hand(van.connection, van.target) is None
        assert van.differences() == []

    def test_what_was_not_shipped_and_came_is_booked(self, app: Connection) -> None:
        van = load(app, shipped_qty=0)
        van.ship()
        assert on_hand(app, van.source) == 9
        van.note(2, "over")
        van.become("received")
        assert on_hand(app, van.target) == 2
        assert van.differences() == []

    @pytest.mark.parametrize("status", ["quarantined", "recalled"])
    def test_what_was_stopped_on_the_way_arrives_stopped(
        self, app: Connection, status: str
    ) -> None:
        van = load(app, 3)
        van.ship()
        app.execute("UPDATE rest.stock_lot SET status = %s", [status])
        van.become("received")
        assert van.lots(van.target) == [("SOON", "2026-05-10", 3)]
        with pytest.raises(errors.CheckViolation, match="is short of"):
            consume(app, van.target, 1)

    def test_a_recall_stops_what_was_only_quarantined(self, van: Van) -> None:
        receive(van.connection, van.target, 1, "SOON", "2026-05-10")
        van.ship()
        van.connection.execute(
            "UPDATE rest.stock_lot SET status = CASE storage_area_id WHEN %s THEN 'quarantined'"
            " ELSE 'recalled' END",
            [van.target.area],
        )
        van.become("received")
        found = van.connection.execute("SELECT DISTINCT status FROM rest.stock_lot").fetchall()
        assert found == [("recalled",)]

    def test_more_of_a_lot_that_lies_there_adds_to_it(self, van: Van) -> None:
        receive(van.connection, van.target, 1, "SOON", "2026-05-10")
        van.ship()
        van.become("received")
        assert van.lots(van.target) == [("LATE", "2026-05-20", 3), ("SOON", "2026-05-10", 5)]
        assert differences(van.connection) == []

    def test_what_left_without_a_lot_arrives_without_one(self, app: Connection) -> None:
        van = load(app, 11)
        receive(app, van.source, 2)
        van.ship()
        van.become("received")
        assert on_hand(app, van.target) == 11
        assert sum(held for _, _, held in van.lots(van.target)) == 9
        assert van.differences() == []

    def test_it_arrives_once(self, van: Van) -> None:
        van.ship()
        van.become("received", "received")
        assert on_hand(van.connection, van.target) == 7


class TestProof:
    """Quantities that the ledger does not know are found."""

    def test_what_was_typed_in_is_found(self, van: Van) -> None:
        van.ship()
        van.become("received")
        assert van.differences() == []
        van.connection.execute("RESET ROLE")
        van.change("received_qty", None)
        van.change("shipped_qty", 6)
        van.change("received_qty", 6)
        assert van.differences() == [("received", 6, 7), ("shipped", 6, 7)]

    @pytest.mark.parametrize(
        ("state", "found"),
        [
            ("in_transit", [("shipped", 5, None)]),
            ("received", [("received", 4, None), ("shipped", 5, None)]),
        ],
    )
    def test_what_was_never_booked_is_found(
        self, van: Van, state: str, found: list[tuple[str, int, None]]
    ) -> None:
        van.connection.execute("RESET ROLE")
        van.change("discrepancy_kind", "short")
        van.change("shipped_qty", 5)
        van.change("received_qty", 4)
        van.imported(state)
        assert van.differences() == found

    def test_what_is_booked_before_it_is_shipped_is_found(self, van: Van) -> None:
        van.ship()
        van.imported("picked")
        assert van.differences() == [("shipped", None, 7)]


class TestAtOnce:
    """Two who ship the same goods, or receive the same van."""

    @pytest.fixture
    def road(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> tuple[Target, UUID, Van]:
        """A committed transfer, picked, in a database of its own."""
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            made = load(connection)
            made.become("approved", "picked")
        return target, tenant, made

    def test_of_two_receivers_one_books_it(self, road: tuple[Target, UUID, Van]) -> None:
        target, tenant, van = road
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            replace(van, connection=connection).become("in_transit")
        at_once(target, tenant, 2, lambda c, _: replace(van, connection=c).become("received"))
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            assert on_hand(connection, van.target) == 7
            assert differences(connection) == []
            assert replace(van, connection=connection).differences() == []

    def test_who_receives_waits_for_what_is_being_noted(
        self, road: tuple[Target, UUID, Van]
    ) -> None:
        target, tenant, van = road
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            replace(van, connection=connection).become("in_transit")
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            replace(van, connection=first).note(5, "short")
            after(target, tenant, first, lambda c: replace(van, connection=c).become("received"))
            become_app(first, tenant)
            assert on_hand(first, van.target) == 5

    def test_of_two_vans_one_gets_the_last_of_it(self, road: tuple[Target, UUID, Van]) -> None:
        target, tenant, van = road
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            transfer = row(
                connection,
                "rest.stock_transfer",
                from_location_id=van.source.place,
                to_location_id=van.target.place,
                requested_at=DAY,
            )
            here = replace(van, connection=connection, transfer=transfer)
            row(
                connection,
                "rest.stock_transfer_line",
                stock_transfer_id=transfer,
                inventory_item_id=van.source.item,
                unit_of_measure_id=here.one("SELECT stock_unit_id FROM rest.inventory_item"),
                requested_qty=7,
            )
            here.become("approved", "picked")

        def ship(connection: Connection, number: int) -> bool:
            key = (van.transfer, transfer)[number]
            try:
                replace(van, connection=connection, transfer=key).become("in_transit")
            except errors.CheckViolation:
                connection.rollback()
                return False
            return True

        assert sorted(at_once(target, tenant, 2, ship)) == [False, True]
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            assert on_hand(connection, van.source) == 2
            assert differences(connection) == []
            assert replace(van, connection=connection).differences() == []
