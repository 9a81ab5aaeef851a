"""The ledger moves stock, balances follow it, and nothing is taken that is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.test_hs_organization import add_branch, one

UNIT = {
    "in_transit": {"in_stock", "returned", "scrapped"},
    "in_stock": {"reserved", "installed", "in_transit", "returned", "scrapped"},
    "reserved": {"in_stock", "installed", "in_transit"},
    "installed": {"in_stock", "returned", "scrapped"},
    "returned": set(),
    "scrapped": set(),
}
TRANSFER = {
    "requested": {"picking", "cancelled"},
    "picking": {"in_transit", "requested", "cancelled"},
    "in_transit": {"received"},
    "received": set(),
    "cancelled": set(),
}


def add_item(connection: Connection, sku: str = "CAP-45", *, serialized: bool = False) -> UUID:
    """An item of the current tenant."""
    category = one(
        connection,
        "INSERT INTO hs.pricebook_category (business_id, category_code, name)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s) RETURNING pricebook_category_id",
        sku,
        sku,
    )
    found: UUID = one(
        connection,
        "INSERT INTO hs.stock_item (business_id, pricebook_category_id, sku, name, is_serialized)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, 'Run capacitor', %s)"
        " RETURNING stock_item_id",
        category,
        sku,
        serialized,
    )
    return found


def add_truck(connection: Connection, number: str = "U001", status: str = "in_service") -> UUID:
    """A truck of the tenant's branch, which is made where there is none."""
    branch = one(connection, "SELECT branch_id FROM hs.branch") or add_branch(connection)
    found: UUID = one(
        connection,
        "INSERT INTO hs.truck (business_id, branch_id, unit_number, vin, make, model, model_year,"
        " status) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, 'Ford', 'Transit', 2022,"
        " %s) RETURNING truck_id",
        branch,
        number,
        f"1FTBW3XM{int.from_bytes(number.encode(), 'big') % 10**9:09d}",
        status,
    )
    return found


def add_place(
    connection: Connection, code: str, truck: UUID | None = None, *, may_go_negative: bool = False
) -> UUID:
    """A warehouse, or the stock of a truck."""
    branch = one(connection, "SELECT branch_id FROM hs.branch") or add_branch(connection)
    found: UUID = one(
        connection,
        "INSERT INTO hs.stock_location (business_id, branch_id, truck_id, location_code, name,"
        " location_kind, may_go_negative) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s,"
        " %s, %s, %s) RETURNING stock_location_id",
        branch,
        truck,
        code,
        code,
        "truck" if truck else "warehouse",
        may_go_negative,
    )
    return found


def move(
    connection: Connection,
    item: UUID,
    kind: str,
    quantity: float,
    source: UUID | None = None,
    target: UUID | None = None,
    cost: float = 0,
    unit: UUID | None = None,
) -> None:
    connection.execute(
        "INSERT INTO hs.stock_movement (business_id, stock_item_id, from_location_id,"
        " to_location_id, serialized_unit_id, movement_kind, moved_qty, unit_cost)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, %s, %s, %s, %s)",
        [item, source, target, unit, kind, quantity, cost],
    )


def on_hand(connection: Connection, item: UUID, place: UUID) -> Any:
    return one(
        connection,
        "SELECT on_hand_qty FROM hs.stock_balance WHERE stock_item_id = %s"
        " AND stock_location_id = %s",
        item,
        place,
    )


def average_cost(connection: Connection, item: UUID) -> Any:
    return one(connection, "SELECT average_cost FROM hs.stock_item WHERE stock_item_id = %s", item)


def moves(
    connection: Connection, table: str, shape: Mapping[str, str], before: str, after: str
) -> bool:
    """Whether rows, put into a state without triggers, may be moved on to another.

    `shape` has the assignments that make a row of the state whole.
    """
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("RESET ROLE")
            for role, state in (("replica", before), ("origin", after)):
                connection.execute(f"SET LOCAL session_replication_role = {role}".encode())
                more = f", {shape[state]}" if state in shape else ""
                connection.execute(f"UPDATE {table} SET status = '{state}'{more}".encode())
    except errors.CheckViolation as error:
        if "cannot become" not in str(error):
            raise
        return False
    return True


@pytest.fixture
def item(app: Connection) -> UUID:
    """An item that is counted."""
    return add_item(app)


@pytest.fixture
def shelf(app: Connection) -> UUID:
    """A warehouse."""
    return add_place(app, "WH-1")


@pytest.fixture
def van(app: Connection) -> UUID:
    """The stock of a truck."""
    return add_place(app, "TRK-1", add_truck(app))


def test_balances_follow_every_kind_of_movement(
    app: Connection, item: UUID, shelf: UUID, van: UUID
) -> None:
    move(app, item, "opening", 10, target=shelf)
    move(app, item, "receipt", 5, target=shelf)
    move(app, item, "transfer", 6, shelf, van)
    move(app, item, "issue", 2, van)
    move(app, item, "return", 1, target=van)
    move(app, item, "scrap", 1, shelf)
    move(app, item, "adjustment", 1, shelf)
    assert on_hand(app, item, shelf) == 7
    assert on_hand(app, item, van) == 5
    assert app.execute("SELECT * FROM hs.stock_differences()").fetchall() == []


def test_many_movements_in_one_statement_are_summed(
    app: Connection, item: UUID, shelf: UUID, van: UUID
) -> None:
    app.execute(
        "INSERT INTO hs.stock_movement (business_id, stock_item_id, from_location_id,"
        " to_location_id, movement_kind, moved_qty)"
        " SELECT tenant_mgmt.current_business_id(), %s, v.source, v.target, v.kind, v.quantity"
        " FROM (VALUES (NULL::uuid, %s::uuid, 'opening', 9), (%s, %s, 'transfer', 4),"
        " (%s, NULL, 'issue', 3)) AS v (source, target, kind, quantity)",
        [item, shelf, shelf, van, van],
    )
    assert (on_hand(app, item, shelf), on_hand(app, item, van)) == (5, 1)


def test_receipts_move_the_average_cost_and_issues_do_not(
    app: Connection, item: UUID, shelf: UUID
) -> None:
    move(app, item, "opening", 10, target=shelf, cost=2)
    assert average_cost(app, item) == 2
    move(app, item, "receipt", 30, target=shelf, cost=4)
    assert average_cost(app, item) == Decimal("3.5")
    move(app, item, "issue", 35, shelf, cost=3.5)
    assert average_cost(app, item) == Decimal("3.5")
    move(app, item, "receipt", 5, target=shelf, cost=5.5)
    assert average_cost(app, item) == Decimal("4.5")


def test_a_movement_that_is_posted_costs_the_average(
    app: Connection, item: UUID, shelf: UUID, van: UUID
) -> None:
    move(app, item, "opening", 4, target=shelf, cost=2.5)
    posted = one(
        app, "SELECT hs.post_stock_movement(%s, %s, %s, 3, 'transfer', 'TR-1')", item, shelf, van
    )
    found = app.execute(
        "SELECT unit_cost, extended_cost, source_kind, source_ref FROM hs.stock_movement"
        " WHERE stock_movement_id = %s",
        [posted],
    ).fetchone()
    assert found == (Decimal("2.5"), Decimal("7.5"), "transfer", "TR-1")
    with pytest.raises(errors.NoDataFound, match="no stock item"):
        one(app, "SELECT hs.post_stock_movement(%s, %s, %s, 1, 'issue', 'X')", shelf, shelf, None)


@pytest.mark.parametrize("quantity", [11, 10.0001])
def test_what_is_not_there_is_not_taken(
    app: Connection, item: UUID, shelf: UUID, quantity: float
) -> None:
    move(app, item, "opening", 10, target=shelf)
    with pytest.raises(errors.CheckViolation, match="WH-1 is short of CAP-45"):
        move(app, item, "issue", quantity, shelf)


def test_the_last_piece_may_be_taken(app: Connection, item: UUID, shelf: UUID) -> None:
    move(app, item, "opening", 10, target=shelf)
    move(app, item, "issue", 10, shelf)
    assert on_hand(app, item, shelf) == 0


def test_a_truck_goes_negative_where_it_may(app: Connection, item: UUID) -> None:
    free = add_place(app, "TRK-1", add_truck(app, "U1"), may_go_negative=True)
    bound = add_place(app, "TRK-2", add_truck(app, "U2"))
    move(app, item, "issue", 2, free)
    assert on_hand(app, item, free) == -2
    with pytest.raises(errors.CheckViolation, match="TRK-2 is short"):
        move(app, item, "issue", 2, bound)


def test_what_was_used_before_it_was_booked_does_not_bend_the_average(
    app: Connection, item: UUID
) -> None:
    van = add_place(app, "TRK-1", add_truck(app), may_go_negative=True)
    move(app, item, "issue", 2, van)
    move(app, item, "receipt", 10, target=van, cost=3)
    assert (on_hand(app, item, van), average_cost(app, item)) == (8, 3)


def test_a_warehouse_may_never_go_negative(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="only_trucks_go_negative"):
        add_place(app, "WH-1", may_go_negative=True)


@pytest.mark.parametrize(
    ("kind", "has_source", "has_target"),
    [
        ("receipt", True, True),
        ("opening", True, False),
        ("issue", False, True),
        ("scrap", True, True),
        ("transfer", True, False),
        ("return", True, True),
        ("adjustment", True, True),
    ],
)
def test_each_kind_has_its_direction(
    app: Connection,
    item: UUID,
    shelf: UUID,
    van: UUID,
    kind: str,
    *,
    has_source: bool,
    has_target: bool,
) -> None:
    with pytest.raises(errors.CheckViolation, match="stock_movement_direction_of_kind"):
        move(app, item, kind, 1, shelf if has_source else None, van if has_target else None)


def test_the_ledger_is_append_only(app: Connection, item: UUID, shelf: UUID) -> None:
    move(app, item, "opening", 10, target=shelf)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute("UPDATE hs.stock_movement SET moved_qty = 11")


@pytest.mark.parametrize("column", ["on_hand_qty", "on_order_qty"])
def test_nobody_writes_a_balance(app: Connection, item: UUID, shelf: UUID, column: str) -> None:
    move(app, item, "opening", 10, target=shelf)
    with pytest.raises(errors.RestrictViolation, match="nobody writes it"), app.transaction():
        app.execute(f"UPDATE hs.stock_balance SET {column} = 11".encode())
    with pytest.raises(errors.RestrictViolation, match="nobody writes it"):
        app.execute(
            f"INSERT INTO hs.stock_balance (business_id, stock_item_id, stock_location_id,"
            f" {column}) VALUES (tenant_mgmt.current_business_id(), %s, %s, 1)".encode(),
            [add_item(app, "OTHER"), shelf],
        )


def test_the_frame_of_a_shelf_is_free(app: Connection, item: UUID, shelf: UUID) -> None:
    move(app, item, "opening", 10, target=shelf)
    app.execute("UPDATE hs.stock_balance SET min_qty = 3, max_qty = 12, bin_label = 'A-1'")
    with pytest.raises(errors.CheckViolation, match="stock_balance_reserved_is_there"):
        app.execute("UPDATE hs.stock_balance SET reserved_qty = 11")


def test_what_is_reserved_is_not_issued(app: Connection, item: UUID, shelf: UUID) -> None:
    move(app, item, "opening", 10, target=shelf)
    app.execute("UPDATE hs.stock_balance SET reserved_qty = 4")
    move(app, item, "issue", 6, shelf)
    with pytest.raises(errors.CheckViolation, match="stock_balance_reserved_is_there"):
        move(app, item, "issue", 1, shelf)


def test_differences_name_what_is_broken(
    admin: Connection, app: Connection, tenant: UUID, item: UUID, shelf: UUID, van: UUID
) -> None:
    move(app, item, "opening", 10, target=shelf)
    move(app, item, "transfer", 4, shelf, van)
    app.execute("RESET ROLE")
    app.execute("UPDATE hs.stock_balance SET on_hand_qty = 7 WHERE stock_location_id = %s", [shelf])
    app.execute("DELETE FROM hs.stock_balance WHERE stock_location_id = %s", [van])
    become_app(admin, tenant)
    found = app.execute("SELECT * FROM hs.stock_differences() ORDER BY ledger_qty").fetchall()
    assert found == [(item, van, 0, 4), (item, shelf, 7, 6)]


# Single pieces.


@pytest.fixture
def heater(app: Connection) -> UUID:
    """An item with serial numbers."""
    return add_item(app, "WH-50", serialized=True)


def add_unit(connection: Connection, item: UUID, number: str = "SN1") -> UUID:
    """A piece that is on its way."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.serialized_unit (business_id, stock_item_id, serial_number, status,"
        " received_on) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'in_transit',"
        " '2026-01-05') RETURNING serialized_unit_id",
        item,
        number,
    )
    return found


def where(connection: Connection, unit: UUID) -> Any:
    return connection.execute(
        "SELECT status, stock_location_id, installed_on IS NOT NULL FROM hs.serialized_unit"
        " WHERE serialized_unit_id = %s",
        [unit],
    ).fetchone()


def test_a_piece_is_where_its_last_movement_put_it(
    app: Connection, heater: UUID, shelf: UUID, van: UUID
) -> None:
    unit = add_unit(app, heater)
    move(app, heater, "receipt", 1, target=shelf, unit=unit)
    assert where(app, unit) == ("in_stock", shelf, False)
    move(app, heater, "transfer", 1, shelf, van, unit=unit)
    assert where(app, unit) == ("in_stock", van, False)
    move(app, heater, "issue", 1, van, unit=unit)
    assert where(app, unit) == ("installed", None, True)
    move(app, heater, "return", 1, target=shelf, unit=unit)
    assert where(app, unit) == ("in_stock", shelf, False)
    move(app, heater, "return", 1, shelf, unit=unit)
    assert where(app, unit) == ("returned", None, False)


def test_a_scrapped_piece_does_not_come_back(app: Connection, heater: UUID, shelf: UUID) -> None:
    unit = add_unit(app, heater)
    move(app, heater, "receipt", 1, target=shelf, unit=unit)
    move(app, heater, "scrap", 1, shelf, unit=unit)
    assert where(app, unit) == ("scrapped", None, False)
    with pytest.raises(errors.CheckViolation, match="scrapped cannot become in_stock"):
        move(app, heater, "return", 1, target=shelf, unit=unit)


def test_a_piece_is_taken_from_where_it_lies(
    app: Connection, heater: UUID, shelf: UUID, van: UUID
) -> None:
    here, there = add_unit(app, heater), add_unit(app, heater, "SN2")
    move(app, heater, "receipt", 1, target=shelf, unit=here)
    move(app, heater, "receipt", 1, target=van, unit=there)
    with pytest.raises(errors.CheckViolation, match="SN1 does not lie where"):
        move(app, heater, "issue", 1, van, unit=here)


def test_a_serialized_item_moves_piece_by_piece(
    app: Connection, heater: UUID, item: UUID, shelf: UUID
) -> None:
    unit = add_unit(app, heater)
    with pytest.raises(errors.CheckViolation, match="moves piece by piece"), app.transaction():
        move(app, heater, "opening", 1, target=shelf)
    with pytest.raises(errors.CheckViolation, match="of_one_piece"), app.transaction():
        move(app, heater, "opening", 2, target=shelf, unit=unit)
    with pytest.raises(errors.CheckViolation, match="no piece of CAP-45"):
        move(app, item, "opening", 1, target=shelf, unit=unit)


def test_imported_history_counts_whole_pieces(
    app: Connection, tenant: UUID, heater: UUID, shelf: UUID
) -> None:
    app.execute("RESET ROLE")
    load = (
        "INSERT INTO hs.stock_movement (business_id, stock_item_id, to_location_id,"
        " movement_kind, moved_qty) VALUES (%s, %s, %s, 'opening', %s)"
    )
    app.execute(load, [tenant, heater, shelf, 2])
    with pytest.raises(errors.CheckViolation, match="WH-50 moves piece by piece"):
        app.execute(load, [tenant, heater, shelf, 1.5])


def test_a_piece_goes_only_through_its_states(app: Connection, heater: UUID, shelf: UUID) -> None:
    add_unit(app, heater)
    nowhere = "stock_location_id = NULL"
    shape = dict.fromkeys(UNIT, nowhere) | {
        "installed": f"{nowhere}, installed_on = '2026-02-01'",
        "in_stock": f"stock_location_id = '{shelf}'",
        "reserved": f"stock_location_id = '{shelf}'",
    }
    for before in UNIT:
        for after in UNIT.keys() - {before}:
            found = moves(app, "hs.serialized_unit", shape, before, after)
            assert found == (after in UNIT[before]), (before, after)


# Transfers.


@pytest.fixture
def transfer(app: Connection, item: UUID, shelf: UUID, van: UUID) -> UUID:
    """Ten lie on the shelf, the van asks for six."""
    move(app, item, "opening", 10, target=shelf, cost=2)
    found: UUID = one(
        app,
        "INSERT INTO hs.stock_transfer (business_id, from_location_id, to_location_id,"
        " transfer_number) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'TR-1')"
        " RETURNING stock_transfer_id",
        shelf,
        van,
    )
    app.execute(
        "INSERT INTO hs.stock_transfer_line (business_id, stock_transfer_id, stock_item_id,"
        " line_no, requested_qty) VALUES (tenant_mgmt.current_business_id(), %s, %s, 1, 6)",
        [found, item],
    )
    return found


def ship(connection: Connection, picked: int = 6) -> None:
    connection.execute("UPDATE hs.stock_transfer SET status = 'picking'")
    connection.execute("UPDATE hs.stock_transfer_line SET picked_qty = %s", [picked])
    connection.execute("UPDATE hs.stock_transfer SET status = 'in_transit', shipped_at = now()")


def receive(connection: Connection, quantity: int = 6) -> None:
    connection.execute("UPDATE hs.stock_transfer_line SET received_qty = %s", [quantity])
    connection.execute("UPDATE hs.stock_transfer SET status = 'received', received_at = now()")


@pytest.mark.usefixtures("transfer")
def test_a_transfer_reserves_what_is_shipped_and_moves_what_arrives(
    app: Connection, item: UUID, shelf: UUID, van: UUID
) -> None:
    ship(app)
    balance = "SELECT on_hand_qty, reserved_qty FROM hs.stock_balance WHERE stock_location_id = %s"
    assert app.execute(balance, [shelf]).fetchone() == (10, 6)
    with pytest.raises(errors.CheckViolation, match="reserved_is_there"), app.transaction():
        move(app, item, "issue", 5, shelf)
    receive(app, 5)
    assert app.execute(balance, [shelf]).fetchone() == (5, 0)
    assert on_hand(app, item, van) == 5
    booked = app.execute(
        "SELECT moved_qty, unit_cost, source_ref FROM hs.stock_movement"
        " WHERE movement_kind = 'transfer'"
    ).fetchall()
    assert booked == [(5, 2, "TR-1")]


@pytest.mark.usefixtures("transfer")
def test_more_than_is_there_is_not_shipped(app: Connection) -> None:
    app.execute("UPDATE hs.stock_balance SET reserved_qty = 5")
    with pytest.raises(errors.CheckViolation, match="more was picked than is there"):
        ship(app)


@pytest.mark.usefixtures("transfer")
def test_a_shipped_transfer_stays_as_it_is(app: Connection) -> None:
    ship(app, 5)
    with pytest.raises(errors.RestrictViolation, match="in_transit stays"), app.transaction():
        app.execute("UPDATE hs.stock_transfer_line SET picked_qty = 6")
    receive(app, 5)
    with pytest.raises(errors.RestrictViolation, match="received stays"), app.transaction():
        app.execute("UPDATE hs.stock_transfer_line SET received_qty = 4")
    with pytest.raises(errors.RestrictViolation, match="received stays"):
        app.execute("DELETE FROM hs.stock_transfer_line")


@pytest.mark.usefixtures("transfer")
def test_a_transfer_goes_only_through_its_states(app: Connection) -> None:
    times = "shipped_at = requested_at, received_at = {}"
    shape = {state: times.format("NULL") for state in TRANSFER}
    shape["received"] = times.format("requested_at")
    for before in TRANSFER:
        for after in TRANSFER.keys() - {before}:
            found = moves(app, "hs.stock_transfer", shape, before, after)
            assert found == (after in TRANSFER[before]), (before, after)


# At the same time.


@pytest.fixture
def stocked(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> tuple[Target, UUID, UUID, UUID]:
    """A database where five of an item lie on a shelf: target, tenant, item, shelf."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        item, shelf = add_item(connection), add_place(connection, "WH-1")
        move(connection, item, "opening", 5, target=shelf, cost=2)
    return target, tenant, item, shelf


def test_the_last_pieces_are_not_sold_twice(stocked: tuple[Target, UUID, UUID, UUID]) -> None:
    target, tenant, item, shelf = stocked

    def take(_: int) -> int:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                move(connection, item, "issue", 1, shelf)
            except errors.CheckViolation:
                connection.rollback()
                return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(take, range(12)))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert (taken, on_hand(connection, item, shelf)) == (5, 0)
        assert connection.execute("SELECT * FROM hs.stock_differences()").fetchall() == []


def test_receipts_at_the_same_time_agree_on_the_average(
    stocked: tuple[Target, UUID, UUID, UUID],
) -> None:
    target, tenant, item, shelf = stocked

    def receive_one(number: int) -> None:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            move(connection, item, "receipt", 5, target=shelf, cost=number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(receive_one, (1, 2, 3, 4, 5, 6)))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert on_hand(connection, item, shelf) == 35
        paid = Decimal(5 * (2 + 1 + 2 + 3 + 4 + 5 + 6)) / 35
        assert average_cost(connection, item) == pytest.approx(paid, abs=Decimal("0.00001"))


def test_transfers_that_cross_take_turns(stocked: tuple[Target, UUID, UUID, UUID]) -> None:
    target, tenant, item, shelf = stocked
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        items = [item, *(add_item(connection, f"IT-{n}") for n in range(3))]
        other = add_place(connection, "WH-2")
        for each in items:
            move(connection, each, "opening", 40, target=shelf)
            move(connection, each, "opening", 40, target=other)

    def carry(number: int) -> None:
        places = (shelf, other) if number % 2 else (other, shelf)
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            transfer = one(
                connection,
                "INSERT INTO hs.stock_transfer (business_id, from_location_id, to_location_id,"
                " transfer_number) VALUES (%s, %s, %s, %s) RETURNING stock_transfer_id",
                tenant,
                *places,
                f"TR-{number}",
            )
            for place, each in enumerate(items[:: 1 if number % 3 else -1], 1):
                connection.execute(
                    "INSERT INTO hs.stock_transfer_line (business_id, stock_transfer_id,"
                    " stock_item_id, line_no, requested_qty, picked_qty, received_qty)"
                    " VALUES (%s, %s, %s, %s, 2, 2, 2)",
                    [tenant, transfer, each, place],
                )
        for change in (
            "status = 'picking'",
            "status = 'in_transit', shipped_at = now()",
            "status = 'received', received_at = now()",
        ):
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                connection.execute(
                    f"UPDATE hs.stock_transfer SET {change} WHERE stock_transfer_id = %s".encode(),
                    [transfer],
                )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(carry, range(12)))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert [on_hand(connection, each, other) for each in items] == [40] * 4
        assert one(connection, "SELECT sum(reserved_qty) FROM hs.stock_balance") == 0
        assert connection.execute("SELECT * FROM hs.stock_differences()").fetchall() == []
