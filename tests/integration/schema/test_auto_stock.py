"""The ledger moves parts, balances follow, part lines keep and take, nothing is sold twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import imported, row
from tests.integration.schema.test_hs_organization import one

BALANCE = "SELECT on_hand_qty, committed_qty, dirty_core_qty FROM auto.stock_balance"
States = dict[str, set[str]]


def edges(machine: States) -> list[tuple[str, str]]:
    return [(before, after) for before in machine for after in sorted(machine[before])]


def change(connection: Connection, table: str, **given: Any) -> None:
    """Updates all rows of a table."""
    values = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in given)
    statement = sql.SQL("UPDATE auto.{} SET {}").format(sql.Identifier(table), values)
    connection.execute(statement, list(given.values()))


def post(
    connection: Connection, part: UUID, place: UUID, qty: float, kind: str, ref: str | None = None
) -> UUID:
    """Posts a movement; without a source it is one of its own."""
    found: UUID = one(
        connection,
        "SELECT auto.post_stock_movement(%s, %s, %s::numeric, %s, %s)",
        part,
        place,
        qty,
        kind,
        ref or f"test:{uuid4()}",
    )
    return found


def move(connection: Connection, part: UUID, place: UUID, qty: float, **given: Any) -> None:
    """Writes a receipt into the ledger directly; columns as given."""
    row(
        connection,
        "auto.stock_movement",
        **{"part_id": part, "stock_location_id": place, "qty_delta": qty, **given},
    )


def line_of(connection: Connection, part: UUID, place: UUID | None, qty: float = 1) -> UUID:
    """A part line that is needed."""
    return row(
        connection,
        "auto.part_line",
        part_id=part,
        stock_location_id=place,
        qty=qty,
        status="needed",
    )


def turn(connection: Connection, line: UUID, *states: str) -> None:
    """Takes a part line through states, whatever others ask of a job before."""
    for status in states:
        connection.execute(
            "UPDATE auto.part_line SET status = %s WHERE part_line_id = %s", [status, line]
        )


def stands(connection: Connection) -> tuple[int, ...]:
    """On hand, committed and cores of the only balance."""
    found = connection.execute(BALANCE).fetchone()
    assert found
    return tuple(int(figure) for figure in found)


def differences(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT figure, balance_qty, ledger_qty FROM auto.stock_differences() ORDER BY figure"
    ).fetchall()


@pytest.fixture
def part(app: Connection) -> UUID:
    """A part without a core."""
    return row(app, "auto.part", core_charge_amount=0, part_number="BRK-1")


@pytest.fixture
def place(app: Connection) -> UUID:
    """A bin."""
    return row(app, "auto.stock_location", location_kind="bin", location_code="BIN-1")


def test_a_place_lies_in_a_place_of_its_shop(app: Connection, place: UUID) -> None:
    shop = one(app, "SELECT shop_id FROM auto.stock_location")
    inner = row(app, "auto.stock_location", shop_id=shop, parent_location_id=place)
    with (
        pytest.raises(errors.CheckViolation, match="in BIN-1, which is in another shop"),
        app.transaction(),
    ):
        row(app, "auto.stock_location", parent_location_id=place)
    with pytest.raises(errors.CheckViolation, match="in another shop"):
        app.execute(
            "UPDATE auto.stock_location SET shop_id = %s WHERE stock_location_id <> %s",
            [row(app, "auto.shop"), inner],
        )


def test_a_hazmat_cabinet_has_its_limit(app: Connection) -> None:
    row(app, "auto.stock_location", location_kind="hazmat_cabinet", flammable_limit_gal=60)
    with pytest.raises(errors.CheckViolation, match="hazmat_is_limited"):
        row(app, "auto.stock_location", location_kind="hazmat_cabinet")


def test_receipts_mix_their_cost_into_the_average(app: Connection, part: UUID, place: UUID) -> None:
    move(app, part, place, 2, unit_cost=10)
    move(app, part, place, 6, unit_cost=14)
    post(app, part, place, 4, "internal_use")
    found = app.execute(
        "SELECT on_hand_qty, average_cost, last_cost FROM auto.stock_balance"
    ).fetchone()
    assert found == (4, 13, 14)
    taken = app.execute(
        "SELECT qty_delta, unit_cost, extended_cost, balance_after_qty FROM auto.stock_movement"
        " WHERE movement_kind = 'internal_use'"
    ).fetchone()
    assert taken == (-4, 13, -52, 4)


def test_a_movement_is_posted_once_a_source(app: Connection, part: UUID, place: UUID) -> None:
    first = post(app, part, place, 3, "receipt", "slip:1")
    assert post(app, part, place, 3, "receipt", "slip:1") == first
    assert post(app, part, place, 3, "receipt", "slip:2") != first
    assert stands(app) == (6, 0, 0)


@pytest.mark.parametrize(
    ("qty", "kind", "ref", "says"),
    [
        (0, "receipt", "a", "takes a positive quantity"),
        (-1, "receipt", "a", "takes a positive quantity"),
        (1, "receipt", " ", "names its source"),
        (1, "gift", "a", "direction_of_kind|kind_known"),
        (1, "core_in", "a", "old units lie on the core shelf"),
        (9, "internal_use", "a", "BIN-1 is short of part BRK-1: 5.0000 there"),
        (-9, "count_adjustment", "a", "is short of part"),
    ],
)
def test_what_cannot_be_posted_is_told(
    app: Connection, part: UUID, place: UUID, qty: float, kind: str, ref: str, says: str
) -> None:
    post(app, part, place, 5, "receipt")
    with pytest.raises(errors.CheckViolation, match=says):
        post(app, part, place, qty, kind, ref)


def test_a_count_corrects_in_both_directions(app: Connection, part: UUID, place: UUID) -> None:
    post(app, part, place, 5, "receipt")
    post(app, part, place, -2, "count_adjustment", "CC-1")
    post(app, part, place, 1, "count_adjustment", "CC-2")
    assert stands(app) == (4, 0, 0)
    assert one(app, "SELECT last_counted_on IS NOT NULL FROM auto.stock_balance")


def test_the_ledger_is_not_rewritten(app: Connection, part: UUID, place: UUID) -> None:
    post(app, part, place, 5, "receipt")
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("UPDATE auto.stock_movement SET qty_delta = 6")


@pytest.mark.parametrize("column", ["on_hand_qty", "committed_qty", "average_cost"])
def test_nobody_writes_a_balance(app: Connection, part: UUID, place: UUID, column: str) -> None:
    post(app, part, place, 5, "receipt")
    change(app, "stock_balance", reorder_point_qty=2, order_up_to_qty=6)
    with pytest.raises(errors.RestrictViolation, match="follows the ledger"):
        change(app, "stock_balance", **{column: 1})


def test_a_balance_that_is_off_is_told(app: Connection, part: UUID, place: UUID) -> None:
    post(app, part, place, 5, "receipt")
    assert differences(app) == []
    app.execute("RESET ROLE")
    change(app, "stock_balance", on_hand_qty=7, committed_qty=1, dirty_core_qty=2)
    app.execute("SET LOCAL ROLE app_user")
    assert differences(app) == [
        ("committed_qty", 1, 0),
        ("dirty_core_qty", 2, 0),
        ("on_hand_qty", 7, 5),
    ]


@pytest.mark.parametrize(
    ("states", "left"),
    [
        (["reserved"], (5, 2, 0)),
        (["reserved", "issued"], (3, 0, 0)),
        (["reserved", "issued", "installed"], (3, 0, 0)),
        (["reserved", "issued", "returned"], (5, 0, 0)),
        (["reserved", "cancelled"], (5, 0, 0)),
    ],
)
def test_a_part_line_keeps_takes_and_brings_back(
    app: Connection, part: UUID, place: UUID, states: list[str], left: tuple[int, ...]
) -> None:
    post(app, part, place, 5, "receipt")
    turn(app, line_of(app, part, place, 2), *states)
    assert stands(app) == left
    assert differences(app) == []


def test_what_comes_back_has_the_cost_that_it_left_with(
    app: Connection, part: UUID, place: UUID
) -> None:
    move(app, part, place, 2, unit_cost=10)
    line = line_of(app, part, place, 2)
    turn(app, line, "reserved", "issued")
    move(app, part, place, 2, unit_cost=20)
    turn(app, line, "returned")
    assert one(app, "SELECT average_cost FROM auto.stock_balance") == 15


def test_a_larger_quantity_keeps_more(app: Connection, part: UUID, place: UUID) -> None:
    post(app, part, place, 5, "receipt")
    line = line_of(app, part, place, 2)
    turn(app, line, "reserved")
    app.execute("UPDATE auto.part_line SET qty = 4")
    assert stands(app) == (5, 4, 0)
    with pytest.raises(
        errors.CheckViolation, match=r"only 5\.0000 are available, 6\.0000 are asked"
    ):
        app.execute("UPDATE auto.part_line SET qty = 6")


def test_what_is_kept_for_one_job_is_not_for_another(
    app: Connection, part: UUID, place: UUID
) -> None:
    post(app, part, place, 3, "receipt")
    turn(app, line_of(app, part, place, 2), "reserved")
    other = line_of(app, part, place, 2)
    with (
        pytest.raises(errors.CheckViolation, match=r"part BRK-1 only 1\.0000 are available"),
        app.transaction(),
    ):
        turn(app, other, "reserved")
    with pytest.raises(errors.CheckViolation, match=r"3\.0000 there, 2\.0000 kept for jobs"):
        post(app, part, place, 2, "transfer_out")


def test_nothing_is_reserved_nowhere(app: Connection, part: UUID) -> None:
    line = line_of(app, part, None)
    with pytest.raises(errors.CheckViolation, match="cannot be reserved nowhere"):
        turn(app, line, "reserved")


def test_stock_is_not_taken_by_inserting_or_deleting_lines(
    app: Connection, part: UUID, place: UUID
) -> None:
    post(app, part, place, 3, "receipt")
    line = line_of(app, part, place)
    turn(app, line, "reserved")
    with (
        pytest.raises(errors.RestrictViolation, match="would be deleted without a movement"),
        app.transaction(),
    ):
        app.execute("DELETE FROM auto.part_line")
    with pytest.raises(errors.RestrictViolation, match="would be entered without a movement"):
        row(app, "auto.part_line", part_id=part, stock_location_id=place, status="reserved")


def test_history_brings_its_own_movements(app: Connection, part: UUID, place: UUID) -> None:
    post(app, part, place, 3, "receipt")
    line = line_of(app, part, place)
    app.execute("RESET ROLE")
    turn(app, line, "reserved")
    app.execute("SET LOCAL ROLE app_user")
    assert stands(app) == (3, 0, 0)
    assert differences(app) == [("committed_qty", 0, 1)]


def test_balances_learn_what_is_on_its_way(app: Connection, part: UUID, place: UUID) -> None:
    post(app, part, place, 1, "receipt")
    shop = one(app, "SELECT shop_id FROM auto.stock_location")
    order = imported(
        app, "auto.purchase_order", shop_id=shop, status="sent", ordered_at="2026-05-04"
    )
    imported(app, "auto.purchase_order_line", purchase_order_id=order, part_id=part, ordered_qty=8)
    assert one(app, "SELECT auto.refresh_on_order()") == 1
    assert one(app, "SELECT on_order_qty FROM auto.stock_balance") == 8
    assert one(app, "SELECT auto.refresh_on_order()") == 0


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"forecast_week_on": "2026-05-05"}, "week_begins_on_monday"),
        ({"lower_qty": 3, "expected_qty": 2}, "within_its_band"),
        ({"expected_qty": 3, "upper_qty": 2}, "within_its_band"),
        ({"horizon_weeks": 0}, "horizon_plausible"),
    ],
)
def test_a_forecast_is_of_a_week_within_its_band(
    app: Connection, given: dict[str, Any], truth: str
) -> None:
    row(app, "auto.parts_demand_forecast", expected_qty=4, actual_qty=5)
    assert one(app, "SELECT absolute_error_pct FROM auto.parts_demand_forecast") == Decimal(20)
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.parts_demand_forecast", **given)


@pytest.fixture
def stocked(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> tuple[Target, UUID, UUID, UUID]:
    """A database where five of a part lie in a bin: target, tenant, part, bin."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        part = row(connection, "auto.part", core_charge_amount=0)
        place = row(connection, "auto.stock_location")
        move(connection, part, place, 5, unit_cost=2)
    return target, tenant, part, place


def attempt(target: Target, tenant: UUID, work: Callable[[Connection], object]) -> int:
    """Does the work in a connection of its own; 0 where it is refused."""
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        try:
            work(connection)
        except errors.CheckViolation:
            connection.rollback()
            return 0
    return 1


def test_the_last_pieces_are_not_taken_twice(stocked: tuple[Target, UUID, UUID, UUID]) -> None:
    target, tenant, part, place = stocked

    def take(_: int) -> int:
        return attempt(target, tenant, lambda c: post(c, part, place, 1, "internal_use"))

    with ThreadPoolExecutor(6) as pool:
        taken = sum(pool.map(take, range(9)))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert (taken, stands(connection), differences(connection)) == (5, (0, 0, 0), [])


def test_two_jobs_do_not_reserve_the_last_piece(
    stocked: tuple[Target, UUID, UUID, UUID],
) -> None:
    target, tenant, part, place = stocked
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        lines = [line_of(connection, part, place) for _ in range(8)]

    def reserve(line: UUID) -> int:
        return attempt(target, tenant, lambda c: turn(c, line, "reserved"))

    with ThreadPoolExecutor(6) as pool:
        kept = sum(pool.map(reserve, lines))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert (kept, stands(connection), differences(connection)) == (5, (5, 5, 0), [])


def test_a_source_that_is_posted_twice_at_once_counts_once(
    stocked: tuple[Target, UUID, UUID, UUID],
) -> None:
    target, tenant, part, place = stocked

    def receive(_: int) -> int:
        return attempt(target, tenant, lambda c: post(c, part, place, 3, "receipt", "slip:1"))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(receive, range(4))) == 4
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        assert stands(connection) == (8, 0, 0)
