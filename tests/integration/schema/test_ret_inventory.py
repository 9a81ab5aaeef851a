"""The ledger makes stock what it is: levels, lots and units follow, and a break is found."""

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
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import row

LOT = {
    "available": {"on_hold", "quarantined", "recalled", "expired", "depleted"},
    "on_hold": {"available", "quarantined", "recalled", "expired", "depleted"},
    "quarantined": {"available", "recalled", "expired", "depleted"},
    "recalled": {"depleted"},
    "expired": {"depleted"},
    "depleted": {"available", "on_hold", "quarantined"},
}
UNIT = {
    "in_stock": {"reserved", "in_transit", "sold", "defective", "lost", "scrapped"},
    "reserved": {"in_stock", "in_transit", "sold", "defective", "lost"},
    "in_transit": {"in_stock", "defective", "lost"},
    "sold": {"returned"},
    "returned": {"in_stock", "in_transit", "defective", "lost", "scrapped"},
    "defective": {"in_stock", "in_transit", "lost", "scrapped"},
    "lost": {"in_stock"},
    "scrapped": set(),
}
ADJUSTMENT = {
    "draft": {"pending_approval", "rejected"},
    "pending_approval": {"posted", "rejected", "draft"},
    "posted": set(),
    "rejected": set(),
}
TRANSFER = {
    "draft": {"requested", "cancelled"},
    "requested": {"approved", "cancelled"},
    "approved": {"picking", "cancelled"},
    "picking": {"in_transit", "cancelled"},
    "in_transit": {"partly_received", "received"},
    "partly_received": {"received"},
    "received": set(),
    "cancelled": set(),
}
ADA = "SELECT user_account_id FROM user_mgmt.user_account WHERE username = 'ada'"
GONE = "location_id = NULL, sold_at = '2026-06-01'"
SENT = "shipped_at = '2026-06-01', received_at = NULL"
SHAPES = {
    "ret.serial_unit": dict.fromkeys(("sold", "lost", "scrapped"), GONE),
    "ret.stock_transfer": {
        "in_transit": SENT,
        "partly_received": SENT,
        "received": "shipped_at = '2026-06-01', received_at = '2026-06-02'",
    },
}


def value(connection: Connection, query: str, *given: Any) -> Any:
    found = connection.execute(query.encode(), given).fetchone()
    return found and found[0]


def move(
    connection: Connection,
    place: UUID,
    variant: UUID,
    kind: str,
    source: str,
    target: str,
    quantity: float = 1,
    **given: Any,
) -> UUID:
    return row(
        connection,
        "ret.stock_movement",
        location_id=place,
        product_variant_id=variant,
        movement_kind=kind,
        from_state=source,
        to_state=target,
        quantity=quantity,
        **{"source_kind": "adjustment", "unit_cost": 2, **given},
    )


def level(connection: Connection, place: UUID, variant: UUID) -> dict[str, Any]:
    found = connection.execute(
        "SELECT on_hand_qty, available_qty, committed_qty, reserved_qty, incoming_qty, damaged_qty,"
        " quality_hold_qty, version_no, average_cost FROM ret.stock_level WHERE location_id = %s"
        " AND product_variant_id = %s AND consignment_agreement_id IS NULL",
        [place, variant],
    )
    names = [c.name.removesuffix("_qty") for c in found.description or []]
    return dict(zip(names, found.fetchone() or [], strict=True))


def differences(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT figure, said, found FROM ret.stock_differences() ORDER BY figure"
    ).fetchall()


def moves(
    connection: Connection,
    table: str,
    column: str,
    before: str,
    after: str,
    shape: Mapping[str, str] | None = None,
) -> bool:
    """Whether rows, put into a state without triggers, may be moved on to another.

    `shape` has the assignments that make a row of the state whole.
    """
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("RESET ROLE")
            for role, state in (("replica", before), ("origin", after)):
                connection.execute(f"SET LOCAL session_replication_role = {role}".encode())
                more = f", {shape[state]}" if shape and state in shape else ""
                connection.execute(f"UPDATE {table} SET {column} = '{state}'{more}".encode())
    except errors.CheckViolation as error:
        if "cannot become" not in str(error):
            raise
        return False
    return True


@pytest.fixture
def shop(app: Connection) -> UUID:
    """A store whose registers sell online only."""
    return row(app, "ret.location", location_code="S1")


@pytest.fixture
def depot(app: Connection) -> UUID:
    """A warehouse."""
    return row(app, "ret.location", location_code="W1", location_kind="warehouse", gln=None)


@pytest.fixture
def variant(app: Connection) -> UUID:
    """A variant that nothing is known of."""
    return row(app, "ret.product_variant", sku="TEE-M")


@pytest.fixture
def stocked(app: Connection, shop: UUID, variant: UUID) -> UUID:
    """The variant, ten of which lie in the store."""
    move(app, shop, variant, "receipt", "none", "available", 10)
    return variant


def test_a_level_follows_every_state(app: Connection, shop: UUID, stocked: UUID) -> None:
    for kind, source, target, quantity in (
        ("receipt", "none", "incoming", 7),
        ("receipt", "incoming", "available", 6),
        ("write_off", "incoming", "none", 1),
        ("sale", "available", "reserved", 5),
        ("sale", "reserved", "committed", 3),
        ("sale", "committed", "none", 2),
        ("damage", "available", "damaged", 1),
        ("return", "none", "quality_hold", 1),
        ("write_off", "damaged", "none", 1),
    ):
        move(app, shop, stocked, kind, source, target, quantity)
    found = level(app, shop, stocked)
    assert (
        found
        | {
            "on_hand": 14,
            "available": 10,
            "committed": 1,
            "reserved": 2,
            "incoming": 0,
            "damaged": 0,
            "quality_hold": 1,
            "version_no": 10,
        }
        == found
    )
    assert differences(app) == []


def test_movements_are_numbered_and_note_the_balance(
    app: Connection, shop: UUID, stocked: UUID
) -> None:
    move(app, shop, stocked, "sale", "available", "none", 3, occurred_at="2026-01-01")
    move(app, shop, stocked, "sale", "available", "reserved", 2)
    found = app.execute(
        "SELECT ledger_no, balance_after, value_amount FROM ret.stock_movement ORDER BY ledger_no"
    ).fetchall()
    assert found == [(1, 10, 20), (2, 7, 6), (3, 7, 4)]


def test_receipts_move_the_average_cost_and_sales_do_not(
    app: Connection, shop: UUID, variant: UUID
) -> None:
    for kind, source, target, quantity, cost in (
        ("receipt", "none", "available", 10, 2),
        ("receipt", "none", "available", 30, 4),
        ("sale", "available", "none", 20, 9),
    ):
        move(app, shop, variant, kind, source, target, quantity, unit_cost=cost)
    assert level(app, shop, variant)["average_cost"] == Decimal("3.5")
    moved = value(
        app,
        "SELECT ret.post_stock_movement(%s, %s, 'sale', 'available', 'none', 1, 'sale')",
        shop,
        variant,
    )
    cost = "SELECT unit_cost FROM ret.stock_movement WHERE stock_movement_id = %s"
    assert value(app, cost, moved) == Decimal("3.5")


@pytest.mark.parametrize(
    ("kind", "target"),
    [("sale", "none"), ("sale", "reserved"), ("transfer_out", "none"), ("write_off", "none")],
)
def test_what_is_not_there_is_not_taken(
    app: Connection, shop: UUID, stocked: UUID, kind: str, target: str
) -> None:
    move(app, shop, stocked, kind, "available", target, 10)
    with pytest.raises(errors.CheckViolation, match=r"S1 is short of TEE-M"):
        move(app, shop, stocked, kind, "available", target, 0.0001)


def test_safety_stock_is_sold_but_not_promised(app: Connection, shop: UUID, stocked: UUID) -> None:
    app.execute("UPDATE ret.stock_level SET safety_stock_qty = 4")
    move(app, shop, stocked, "sale", "available", "reserved", 6)
    with pytest.raises(errors.CheckViolation, match="is short of"), app.transaction():
        move(app, shop, stocked, "sale", "available", "reserved", 1)
    move(app, shop, stocked, "sale", "available", "none", 4)
    with pytest.raises(errors.CheckViolation, match="is short of"):
        move(app, shop, stocked, "sale", "available", "none", 1)


def test_a_register_that_sells_offline_goes_below_zero(
    app: Connection, shop: UUID, stocked: UUID
) -> None:
    row(app, "ret.register", location_id=shop, offline_limit_amount=100)
    move(app, shop, stocked, "sale", "available", "none", 12)
    assert level(app, shop, stocked)["on_hand"] == -2
    with pytest.raises(errors.CheckViolation, match="is short of"), app.transaction():
        move(app, shop, stocked, "transfer_out", "available", "none", 1)
    move(app, shop, stocked, "receipt", "none", "available", 1, unit_cost=7)
    assert level(app, shop, stocked)["average_cost"] == 7
    assert differences(app) == []


@pytest.mark.parametrize("state", ["reserved", "committed", "damaged", "quality_hold", "incoming"])
def test_a_state_holds_what_was_put_into_it(
    app: Connection, shop: UUID, stocked: UUID, state: str
) -> None:
    move(app, shop, stocked, "adjustment", "available", state, 2)
    with pytest.raises(errors.CheckViolation, match=f"stock_level_{state}_not_negative"):
        move(app, shop, stocked, "adjustment", state, "none", 3)


def test_consigned_goods_have_a_level_of_their_own(
    app: Connection, shop: UUID, stocked: UUID
) -> None:
    agreement = row(app, "ret.consignment_agreement")
    move(
        app,
        shop,
        stocked,
        "consignment_in",
        "none",
        "available",
        3,
        consignment_agreement_id=agreement,
    )
    assert level(app, shop, stocked)["on_hand"] == 10
    with pytest.raises(errors.CheckViolation, match="is short of"):
        move(
            app,
            shop,
            stocked,
            "sale",
            "available",
            "none",
            4,
            consignment_agreement_id=agreement,
        )


@pytest.mark.parametrize(
    ("kind", "source", "target", "truth"),
    [
        ("receipt", "available", "none", "direction_of_kind"),
        ("return", "available", "none", "direction_of_kind"),
        ("sale", "none", "available", "direction_of_kind"),
        ("transfer_out", "none", "available", "direction_of_kind"),
        ("rtv", "none", "available", "direction_of_kind"),
        ("damage", "available", "none", "direction_of_kind"),
        ("sale", "available", "available", "changes_state"),
    ],
)
def test_each_kind_has_its_direction(
    app: Connection, shop: UUID, stocked: UUID, kind: str, source: str, target: str, truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"stock_movement_{truth}"):
        move(app, shop, stocked, kind, source, target)


def test_the_ledger_is_append_only(app: Connection, shop: UUID, stocked: UUID) -> None:
    app.execute("RESET ROLE")
    for change in ("UPDATE ret.stock_movement SET quantity = 11", "DELETE FROM ret.stock_movement"):
        with pytest.raises(errors.RestrictViolation, match="append only"), app.transaction():
            app.execute(change.encode())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ret.stock_level SET on_hand_qty = 11",
        "UPDATE ret.stock_level SET reserved_qty = 1",
        "UPDATE ret.stock_level SET version_no = 9",
        "DELETE FROM ret.stock_level",
    ],
)
def test_nobody_writes_a_level(app: Connection, shop: UUID, stocked: UUID, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="nobody writes it"):
        app.execute(change.encode())


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("supplier", {"status": "on_hold"}, "active_was_onboarded"),
        (
            "stock_lot",
            {"status": "depleted", "initial_qty": 1, "remaining_qty": 1},
            "depleted_is_empty",
        ),
        ("serial_unit", {"state": "lost", "location_id": "shop"}, "gone_lies_nowhere"),
        ("serial_unit", {"state": "sold"}, "sold_has_time"),
        ("stock_movement", {"quantity": 0}, "quantity_positive"),
        ("stock_movement", {"to_state": "incoming", "unit_cost": -1}, "cost_not_negative"),
        ("stock_movement", {"reverses_movement_id": "shop"}, "reversal_says_so"),
        (
            "stock_adjustment",
            {"state": "posted", "approved_at": "2026-06-01"},
            "posted_is_approved",
        ),
        ("stock_adjustment", {"approved_at": "2026-06-01"}, "posted_has_time"),
        (
            "stock_adjustment",
            {"state": "posted", "approved_at": "2026-01-01", "approved_by_user_id": "ada"},
            "approved_after_entry",
        ),
        ("stock_transfer", {"state": "in_transit"}, "shipped_has_time"),
        (
            "stock_transfer",
            {
                "state": "received",
                "requested_at": "2026-05-01",
                "shipped_at": "2026-05-03",
                "received_at": "2026-05-02",
            },
            "received_after_shipping",
        ),
        ("stock_transfer", {"shipped_at": "2026-01-01"}, "shipped_after_request"),
        ("cycle_count", {"state": "counting"}, "started_is_frozen"),
        (
            "cycle_count",
            {
                "state": "completed",
                "requested_at": "2026-05-01",
                "started_at": "2026-05-05",
                "freeze_at": "2026-05-05",
                "completed_at": "2026-05-04",
            },
            "completes_after_freeze",
        ),
        ("cycle_count_line", {"state": "counted"}, "counted_has_quantity"),
        (
            "cycle_count_line",
            {"state": "accepted", "counted_qty": 1, "counted_at": "2026-05-05"},
            "accepted_is_final",
        ),
    ],
)
def test_history_cannot_be_this_either(
    app: Connection, shop: UUID, account: UUID, table: str, columns: dict[str, Any], truth: str
) -> None:
    app.execute("RESET ROLE")
    known = {"shop": shop, "ada": account}
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"ret.{table}", **{k: known.get(v, v) for k, v in columns.items()})


def test_a_level_starts_empty(app: Connection) -> None:
    with pytest.raises(errors.RestrictViolation, match="nobody writes it"), app.transaction():
        row(app, "ret.stock_level", on_hand_qty=1)
    row(app, "ret.stock_level", version_no=7)
    assert value(app, "SELECT version_no FROM ret.stock_level") == 0


BREAKS = {
    "UPDATE ret.stock_level SET on_hand_qty = 11": [("on_hand_qty", 11, 8)],
    "UPDATE ret.stock_level SET damaged_qty = 2": [("damaged_qty", 2, 0)],
    "UPDATE ret.stock_level SET reserved_qty = 0": [("reserved_qty", 0, 1)],
    "UPDATE ret.stock_level SET committed_qty = 5": [("committed_qty", 5, 0)],
    "UPDATE ret.stock_level SET incoming_qty = 5": [("incoming_qty", 5, 0)],
    "UPDATE ret.stock_level SET quality_hold_qty = 5": [("quality_hold_qty", 5, 0)],
    "UPDATE ret.stock_level SET version_no = 4": [("version_no", 4, 3)],
    "UPDATE ret.stock_movement SET balance_after = 9 WHERE ledger_no = 2": [
        ("balance_after of 2", 9, 8)
    ],
    "UPDATE ret.stock_movement SET quantity = 1 WHERE ledger_no = 2": [
        ("balance_after of 2", 8, 9),
        ("balance_after of 3", 8, 9),
        ("on_hand_qty", 8, 9),
    ],
    "DELETE FROM ret.stock_movement WHERE ledger_no = 2": [
        ("balance_after of 3", 8, 10),
        ("ledger_no", 3, 2),
        ("on_hand_qty", 8, 10),
        ("version_no", 3, 2),
    ],
    "DELETE FROM ret.stock_level": [
        ("on_hand_qty", 0, 8),
        ("reserved_qty", 0, 1),
        ("version_no", 0, 3),
    ],
}


@pytest.mark.parametrize("change", BREAKS)
def test_what_was_changed_behind_the_ledger_is_found(
    app: Connection, tenant: UUID, shop: UUID, stocked: UUID, change: str
) -> None:
    move(app, shop, stocked, "sale", "available", "none", 2)
    move(app, shop, stocked, "sale", "available", "reserved", 1)
    assert differences(app) == []
    app.execute("RESET ROLE")
    app.execute("SET LOCAL session_replication_role = replica")
    app.execute(change.encode())
    become_app(app, tenant)
    assert differences(app) == BREAKS[change]


def test_the_proof_of_one_location(
    app: Connection, tenant: UUID, shop: UUID, depot: UUID, stocked: UUID
) -> None:
    app.execute("RESET ROLE")
    app.execute("SET LOCAL session_replication_role = replica")
    app.execute("UPDATE ret.stock_level SET on_hand_qty = 11")
    become_app(app, tenant)
    proof = "SELECT count(*) FROM ret.stock_differences(%s)"
    assert (value(app, proof, shop), value(app, proof, depot)) == (1, 0)


def test_a_movement_is_taken_back_once(app: Connection, shop: UUID, stocked: UUID) -> None:
    sold = move(app, shop, stocked, "sale", "available", "none", 4)
    back = value(app, "SELECT ret.reverse_stock_movement(%s)", sold)
    assert level(app, shop, stocked)["on_hand"] == 10
    for again in (sold, back):
        with pytest.raises(errors.CheckViolation, match="taken back already"), app.transaction():
            value(app, "SELECT ret.reverse_stock_movement(%s)", again)
    with pytest.raises(errors.NoDataFound, match="there is no movement"):
        value(app, "SELECT ret.reverse_stock_movement(%s)", shop)


def test_the_app_neither_changes_nor_sees_anothers_ledger(
    app: Connection, admin: Connection, shop: UUID, stocked: UUID
) -> None:
    app.execute("RESET ROLE")
    become_app(admin, add_tenant(admin, "second"))
    assert value(app, "SELECT count(*) FROM ret.v_stock_position") == 0
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("UPDATE ret.stock_movement SET quantity = 1")


class TestLots:
    """What expires first goes first, and a lot is what was put in and taken out."""

    @pytest.fixture
    def lots(self, app: Connection, shop: UUID, variant: UUID) -> list[UUID]:
        """Three lots of four; the first has expired."""
        made = []
        for day in ("2026-01-01", "2026-09-01", "2026-08-01"):
            lot = row(
                app,
                "ret.stock_lot",
                location_id=shop,
                product_variant_id=variant,
                expires_on=day,
            )
            move(app, shop, variant, "receipt", "none", "available", 4, stock_lot_id=lot)
            made.append(lot)
        return made

    def left(self, connection: Connection, lots: list[UUID]) -> list[Any]:
        query = "SELECT remaining_qty, status FROM ret.stock_lot WHERE stock_lot_id = %s"
        return [connection.execute(query.encode(), [lot]).fetchone() for lot in lots]

    def test_the_one_that_expires_first_is_taken(
        self, app: Connection, shop: UUID, variant: UUID, lots: list[UUID]
    ) -> None:
        move(app, shop, variant, "sale", "available", "none", 4, occurred_at="2026-05-04")
        move(app, shop, variant, "sale", "available", "none", 1, occurred_at="2026-05-05")
        assert self.left(app, lots) == [(4, "available"), (3, "available"), (0, "depleted")]
        assert differences(app) == []

    def test_lots_are_picked_until_there_is_enough(
        self, app: Connection, shop: UUID, variant: UUID, lots: list[UUID]
    ) -> None:
        pick = "SELECT stock_lot_id, quantity FROM ret.pick_lots(%s, %s, %s, '2026-05-04')"
        found = app.execute(pick.encode(), [shop, variant, 5]).fetchall()
        assert found == [(lots[2], 4), (lots[1], 1)]
        assert len(app.execute(pick.encode(), [shop, variant, 99]).fetchall()) == 2

    def test_a_lot_holds_no_less_than_nothing(
        self, app: Connection, shop: UUID, variant: UUID, lots: list[UUID]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="remaining_bounded"):
            move(app, shop, variant, "sale", "available", "none", 5, stock_lot_id=lots[1])

    def test_a_lot_lies_where_it_lies(
        self, app: Connection, depot: UUID, variant: UUID, lots: list[UUID]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="lies elsewhere"):
            move(app, depot, variant, "receipt", "none", "available", stock_lot_id=lots[1])

    def test_nobody_writes_a_lot(self, app: Connection, lots: list[UUID]) -> None:
        with pytest.raises(errors.RestrictViolation, match="nobody writes it"), app.transaction():
            app.execute("UPDATE ret.stock_lot SET initial_qty = 9, remaining_qty = 9")
        with pytest.raises(errors.RestrictViolation, match="nobody writes it"):
            row(app, "ret.stock_lot", initial_qty=1)

    def test_a_lot_that_is_not_its_movements_is_found(
        self, app: Connection, tenant: UUID, lots: list[UUID]
    ) -> None:
        app.execute("RESET ROLE")
        app.execute("SET LOCAL session_replication_role = replica")
        app.execute("UPDATE ret.stock_lot SET remaining_qty = 1 WHERE stock_lot_id = %s", [lots[0]])
        become_app(app, tenant)
        assert [(said, found) for _, said, found in differences(app)] == [(1, 4)]

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            (
                {"manufactured_on": "2026-04-01", "expires_on": "2026-04-01"},
                "expires_after_made",
            ),
            (
                {"best_before_on": "2026-07-02", "expires_on": "2026-07-01"},
                "best_before_it_expires",
            ),
            ({"manufactured_on": "2026-05-02"}, "received_after_made"),
            ({"unit_cost": -1}, "cost_not_negative"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"stock_lot_{truth}"):
            row(app, "ret.stock_lot", **columns)

    @pytest.mark.parametrize("after", LOT)
    @pytest.mark.parametrize("before", LOT)
    def test_its_states(self, app: Connection, before: str, after: str) -> None:
        row(app, "ret.stock_lot")
        allowed = after in LOT[before] | {before}
        assert moves(app, "ret.stock_lot", "status", before, after) == allowed


class TestUnits:
    """A unit is where its last movement put it."""

    @pytest.fixture
    def unit(self, app: Connection, variant: UUID) -> UUID:
        return row(
            app,
            "ret.serial_unit",
            product_variant_id=variant,
            serial_number="SN1",
            state="in_transit",
            received_at="2026-05-01",
            warranty_months=24,
        )

    def at(self, connection: Connection) -> Any:
        return connection.execute("SELECT state, location_id FROM ret.serial_unit").fetchone()

    def test_it_is_received_reserved_sold_and_returned(
        self, app: Connection, shop: UUID, variant: UUID, unit: UUID
    ) -> None:
        for kind, source, target, state, place in (
            ("receipt", "none", "available", "in_stock", shop),
            ("sale", "available", "reserved", "reserved", shop),
            ("sale", "reserved", "none", "sold", None),
            ("return", "none", "quality_hold", "returned", shop),
            ("return", "quality_hold", "available", "in_stock", shop),
            ("damage", "available", "damaged", "defective", shop),
            ("write_off", "damaged", "none", "scrapped", None),
        ):
            move(app, shop, variant, kind, source, target, serial_number="SN1")
            assert self.at(app) == (state, place)

    def test_its_warranty_runs_from_the_sale(
        self, app: Connection, shop: UUID, variant: UUID, unit: UUID
    ) -> None:
        move(app, shop, variant, "receipt", "none", "available", serial_number="SN1")
        move(
            app,
            shop,
            variant,
            "sale",
            "available",
            "none",
            serial_number="SN1",
            occurred_at="2026-05-31 12:00+00",
        )
        found = value(app, "SELECT warranty_ends_on::text FROM ret.serial_unit")
        assert found == "2028-05-31"

    def test_it_is_taken_from_where_it_lies(
        self, app: Connection, shop: UUID, depot: UUID, variant: UUID, unit: UUID
    ) -> None:
        move(app, shop, variant, "receipt", "none", "available", serial_number="SN1")
        move(app, depot, variant, "receipt", "none", "available", 3)
        with pytest.raises(errors.CheckViolation, match="does not lie where"), app.transaction():
            move(app, depot, variant, "sale", "available", "none", serial_number="SN1")
        with pytest.raises(errors.CheckViolation, match="SN1 lies elsewhere"), app.transaction():
            move(app, depot, variant, "receipt", "none", "available", serial_number="SN1")
        with pytest.raises(errors.NoDataFound, match="there is no unit SN2"):
            move(app, depot, variant, "sale", "available", "none", serial_number="SN2")

    def test_one_number_is_one_unit(
        self, app: Connection, shop: UUID, variant: UUID, unit: UUID
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="of_one_unit"):
            move(
                app,
                shop,
                variant,
                "adjustment",
                "none",
                "incoming",
                2,
                serial_number="SN1",
            )

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"state": "in_stock"}, "in_stock_lies_somewhere"),
            ({"imei": "12"}, "imei_is_15_digits"),
            ({"sold_at": "2026-01-01"}, "sold_after_receipt"),
            ({"warranty_months": -1}, "warranty_not_negative"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"serial_unit_{truth}"):
            row(app, "ret.serial_unit", **{"state": "in_transit", **columns})

    @pytest.mark.parametrize("after", UNIT)
    @pytest.mark.parametrize("before", UNIT)
    def test_its_states(self, app: Connection, shop: UUID, before: str, after: str) -> None:
        row(app, "ret.serial_unit", location_id=shop)
        shape = {
            state: SHAPES["ret.serial_unit"].get(state, f"location_id = '{shop}', sold_at = NULL")
            for state in UNIT
        }
        allowed = after in UNIT[before] | {before}
        assert moves(app, "ret.serial_unit", "state", before, after, shape) == allowed


class TestAdjustments:
    """What somebody entered, another posts: the ledger follows the reason."""

    def adjust(self, connection: Connection, place: UUID, variant: UUID, **given: Any) -> UUID:
        made = row(
            connection,
            "ret.stock_adjustment",
            location_id=place,
            entered_by_user_id=value(connection, ADA),
            reason=given.pop("reason", "data_error"),
        )
        row(
            connection,
            "ret.stock_adjustment_line",
            stock_adjustment_id=made,
            product_variant_id=variant,
            **given,
        )
        return made

    def post(self, connection: Connection, other: UUID) -> None:
        connection.execute("UPDATE ret.stock_adjustment SET state = 'pending_approval'")
        connection.execute(
            "UPDATE ret.stock_adjustment SET state = 'posted', approved_by_user_id = %s,"
            " approved_at = now()",
            [other],
        )

    @pytest.fixture
    def other(self, app: Connection) -> UUID:
        """A colleague who approves."""
        return row(app, "user_mgmt.user_account")

    @pytest.mark.parametrize(
        ("reason", "change", "on_hand", "damaged"),
        [
            ("damage", -2, 10, 2),
            ("theft_known", -2, 8, 0),
            ("expired", -10, 0, 0),
            ("found", 3, 13, 0),
            ("data_error", -1, 9, 0),
        ],
    )
    def test_posting_moves_stock(
        self,
        app: Connection,
        tenant: UUID,
        other: UUID,
        shop: UUID,
        stocked: UUID,
        reason: str,
        change: int,
        on_hand: int,
        damaged: int,
    ) -> None:
        self.adjust(app, shop, stocked, reason=reason, quantity_delta=change)
        self.post(app, other)
        found = level(app, shop, stocked)
        assert (found["on_hand"], found["damaged"]) == (on_hand, damaged)
        line = app.execute(
            "SELECT before_qty, after_qty, value_delta FROM ret.stock_adjustment_line"
        ).fetchone()
        assert line == (10, 10 + change, 2 * change)
        head = app.execute("SELECT line_count, units_net, value_net FROM ret.stock_adjustment")
        assert head.fetchone() == (1, change, 2 * change)
        assert differences(app) == []

    def test_no_more_is_written_off_than_is_there(
        self, app: Connection, other: UUID, shop: UUID, stocked: UUID
    ) -> None:
        self.adjust(app, shop, stocked, reason="own_use", quantity_delta=-11)
        with pytest.raises(errors.CheckViolation, match="is short of"):
            self.post(app, other)

    @pytest.mark.parametrize(("reason", "change"), [("found", -1), ("theft_known", 1)])
    def test_the_sign_follows_the_reason(
        self, app: Connection, shop: UUID, stocked: UUID, reason: str, change: int
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="does not change stock by"):
            self.adjust(app, shop, stocked, reason=reason, quantity_delta=change)

    def test_nobody_approves_his_own(self, app: Connection, shop: UUID, stocked: UUID) -> None:
        self.adjust(app, shop, stocked)
        with pytest.raises(errors.CheckViolation, match="approved_by_another"):
            self.post(app, value(app, ADA))

    def test_lines_of_what_was_posted_stand(
        self, app: Connection, other: UUID, shop: UUID, stocked: UUID
    ) -> None:
        self.adjust(app, shop, stocked)
        self.post(app, other)
        for change in (
            "UPDATE ret.stock_adjustment_line SET quantity_delta = -2",
            "DELETE FROM ret.stock_adjustment_line",
        ):
            with pytest.raises(errors.CheckViolation, match="not changed"), app.transaction():
                app.execute(change.encode())

    def test_nothing_is_posted_without_lines(
        self, app: Connection, other: UUID, shop: UUID, stocked: UUID
    ) -> None:
        self.adjust(app, shop, stocked)
        app.execute("DELETE FROM ret.stock_adjustment_line")
        assert value(app, "SELECT line_count FROM ret.stock_adjustment") == 0
        with pytest.raises(errors.CheckViolation, match="has no lines"):
            self.post(app, other)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"quantity_delta": 0}, "changes_something"),
            ({"unit_cost": -1}, "cost_not_negative"),
            ({"before_qty": 2, "after_qty": 2}, "after_follows_before"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, shop: UUID, stocked: UUID, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"stock_adjustment_line_{truth}"):
            self.adjust(app, shop, stocked, **columns)

    @pytest.mark.parametrize("after", ADJUSTMENT)
    @pytest.mark.parametrize("before", ADJUSTMENT)
    def test_its_states(
        self, app: Connection, other: UUID, shop: UUID, stocked: UUID, before: str, after: str
    ) -> None:
        self.adjust(app, shop, stocked)
        shape = {
            state: f"approved_at = now(), approved_by_user_id = '{other}'"
            if state == "posted"
            else "approved_at = NULL"
            for state in ADJUSTMENT
        }
        allowed = after in ADJUSTMENT[before] | {before}
        assert moves(app, "ret.stock_adjustment", "state", before, after, shape) == allowed


class TestTransfers:
    """What is shipped is incoming until it is received, damaged or given up."""

    def send(
        self, connection: Connection, source: UUID, target: UUID, variant: UUID, **given: Any
    ) -> UUID:
        made = row(
            connection,
            "ret.stock_transfer",
            from_location_id=source,
            to_location_id=target,
            requested_by_user_id=value(connection, ADA),
            requested_at="2026-05-01",
        )
        row(
            connection,
            "ret.stock_transfer_line",
            stock_transfer_id=made,
            product_variant_id=variant,
            **{"shipped_qty": 5, **given},
        )
        for state in ("requested", "approved", "picking"):
            self.to(connection, made, f"state = '{state}'")
        self.to(connection, made, "state = 'in_transit', shipped_at = now()")
        return made

    def to(self, connection: Connection, transfer: UUID, change: str) -> None:
        connection.execute(
            f"UPDATE ret.stock_transfer SET {change} WHERE stock_transfer_id = %s".encode(),
            [transfer],
        )

    def receive(self, connection: Connection, change: str) -> None:
        connection.execute(f"UPDATE ret.stock_transfer_line SET {change}".encode())

    def test_it_is_on_its_way_and_then_there(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        made = self.send(app, shop, depot, stocked)
        assert level(app, shop, stocked)["on_hand"] == 5
        assert level(app, depot, stocked)["incoming"] == 5
        self.receive(app, "received_qty = 2")
        assert value(app, "SELECT state FROM ret.stock_transfer") == "partly_received"
        self.receive(app, "received_qty = 4, damaged_qty = 1")
        self.to(app, made, "state = 'received', received_at = now()")
        found = level(app, depot, stocked)
        assert (found["on_hand"], found["available"], found["damaged"]) == (5, 4, 1)
        assert (found["incoming"], found["average_cost"]) == (0, 2)
        assert value(app, "SELECT total_cost FROM ret.stock_transfer") == 10
        assert differences(app) == []

    def test_a_shortage_has_a_reason_and_is_written_off(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        made = self.send(app, shop, depot, stocked)
        self.receive(app, "received_qty = 3")
        close = "state = 'received', received_at = now()"
        with pytest.raises(errors.CheckViolation, match="without a reason"), app.transaction():
            self.to(app, made, close)
        self.receive(app, "variance_reason = 'lost'")
        self.to(app, made, close)
        found = level(app, depot, stocked)
        assert (found["on_hand"], found["incoming"]) == (3, 0)
        with pytest.raises(errors.CheckViolation, match="its lines are not changed"):
            self.receive(app, "received_qty = 5")

    def test_more_may_come_than_was_shipped(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        self.send(app, shop, depot, stocked)
        with pytest.raises(errors.CheckViolation, match="what_was_shipped"), app.transaction():
            self.receive(app, "received_qty = 6")
        self.receive(app, "received_qty = 6, variance_reason = 'over'")
        found = level(app, depot, stocked)
        assert (found["on_hand"], found["incoming"]) == (6, 0)

    def test_what_was_shipped_stands(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        self.send(app, shop, depot, stocked)
        self.receive(app, "received_qty = 2")
        for change in ("received_qty = 1", "shipped_qty = 4", "requested_qty = 9"):
            with pytest.raises(errors.CheckViolation, match="received, no more"), app.transaction():
                self.receive(app, change)

    def test_nothing_is_received_before_it_is_shipped(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="nothing of it was received"):
            row(app, "ret.stock_transfer_line", shipped_qty=1, received_qty=1)

    def test_no_more_is_shipped_than_is_there(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="S1 is short of"), app.transaction():
            self.send(app, shop, depot, stocked, requested_qty=11, shipped_qty=11)
        with pytest.raises(errors.CheckViolation, match="was picked"):
            self.send(app, shop, depot, stocked, shipped_qty=0)

    def test_a_lot_goes_with_it(
        self, app: Connection, shop: UUID, depot: UUID, variant: UUID
    ) -> None:
        lot = row(
            app,
            "ret.stock_lot",
            location_id=shop,
            product_variant_id=variant,
            lot_number="L9",
            expires_on="2036-01-01",
        )
        move(app, shop, variant, "receipt", "none", "available", 8, stock_lot_id=lot)
        self.send(app, shop, depot, variant, stock_lot_id=lot)
        self.receive(app, "received_qty = 5")
        found = app.execute(
            "SELECT remaining_qty, expires_on::text FROM ret.stock_lot WHERE lot_number = 'L9'"
            " ORDER BY remaining_qty"
        ).fetchall()
        assert found == [(3, "2036-01-01"), (5, "2036-01-01")]
        assert differences(app) == []

    def test_units_go_with_it(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        for number in ("A", "B"):
            row(
                app,
                "ret.serial_unit",
                product_variant_id=stocked,
                serial_number=number,
                state="in_stock",
                location_id=shop,
            )
        made = self.send(app, shop, depot, stocked, shipped_qty=2, serials_doc='["A", "B"]')
        self.receive(app, "received_qty = 1, variance_reason = 'lost'")
        self.to(app, made, "state = 'received', received_at = now()")
        found = app.execute(
            "SELECT state, location_id FROM ret.serial_unit ORDER BY serial_number"
        ).fetchall()
        assert found == [("in_stock", depot), ("lost", None)]

    def test_a_unit_is_shipped_from_where_it_lies(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="X does not lie"):
            self.send(app, shop, depot, stocked, shipped_qty=1, serials_doc='["X"]')

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"shipped_qty": 6}, "ships_what_was_asked"),
            ({"requested_qty": 0}, "asks_for_something"),
            ({"cancelled_qty": -1}, "quantities_not_negative"),
            ({"serials_doc": '["A"]'}, "every_serial_named"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"stock_transfer_line_{truth}"):
            row(app, "ret.stock_transfer_line", **columns)

    def test_it_goes_elsewhere(self, app: Connection, shop: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="goes_elsewhere"):
            row(app, "ret.stock_transfer", from_location_id=shop, to_location_id=shop)

    @pytest.mark.parametrize("after", TRANSFER)
    @pytest.mark.parametrize("before", TRANSFER)
    def test_its_states(
        self, app: Connection, shop: UUID, depot: UUID, stocked: UUID, before: str, after: str
    ) -> None:
        with app.transaction():
            self.send(app, shop, depot, stocked)
        shape = {
            state: SHAPES["ret.stock_transfer"].get(state, "shipped_at = NULL, received_at = NULL")
            for state in TRANSFER
        }
        app.execute("UPDATE ret.stock_transfer_line SET variance_reason = 'lost'")
        allowed = after in TRANSFER[before] | {before}
        assert moves(app, "ret.stock_transfer", "state", before, after, shape) == allowed


def test_the_position_tells_how_long_it_lasts(
    app: Connection, shop: UUID, depot: UUID, stocked: UUID
) -> None:
    now = value(app, "SELECT now()")
    move(app, shop, stocked, "sale", "available", "none", 4, occurred_at=now)
    TestTransfers().send(app, shop, depot, stocked)
    app.execute("UPDATE ret.stock_transfer SET expected_at = '2036-01-01 08:00+00'")
    found = app.execute(
        "SELECT location_code, on_hand_qty, available_qty, incoming_qty, days_of_cover,"
        " next_incoming_at IS NOT NULL, stock_value FROM ret.v_stock_position"
        " ORDER BY location_code"
    ).fetchall()
    assert found == [
        ("S1", 1, 1, 0, Decimal("7.0"), False, 2),
        ("W1", 0, 0, 5, None, True, 0),
    ]


# At the same time.


@pytest.fixture
def elsewhere(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> tuple[Target, UUID, UUID, UUID]:
    """A database where five of a variant lie in a store: target, tenant, place, variant."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        add_account(connection, tenant, "ada")
        become_app(connection, tenant)
        place, variant = (row(connection, f"ret.{t}") for t in ("location", "product_variant"))
        move(connection, place, variant, "receipt", "none", "available", 5)
    return target, tenant, place, variant


def as_app(target: Target, tenant: UUID) -> Connection:
    connection = psycopg.connect(target.app)
    connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    return connection


@pytest.mark.parametrize("target_state", ["none", "reserved"])
def test_the_last_pieces_are_not_taken_twice(
    elsewhere: tuple[Target, UUID, UUID, UUID], target_state: str
) -> None:
    target, tenant, place, variant = elsewhere

    def take(_: int) -> int:
        with as_app(target, tenant) as connection:
            try:
                move(connection, place, variant, "sale", "available", target_state)
            except errors.CheckViolation:
                connection.rollback()
                return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(take, range(12)))
    with as_app(target, tenant) as connection:
        assert (taken, level(connection, place, variant)["available"]) == (5, 0)
        assert differences(connection) == []


def test_a_level_is_made_once(elsewhere: tuple[Target, UUID, UUID, UUID]) -> None:
    target, tenant, place, _ = elsewhere
    with as_app(target, tenant) as connection:
        fresh = row(connection, "ret.product_variant")

    def receive(_: int) -> None:
        with as_app(target, tenant) as connection:
            move(connection, place, fresh, "receipt", "none", "available", 2)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(receive, range(6)))
    with as_app(target, tenant) as connection:
        found = level(connection, place, fresh)
        assert (found["on_hand"], found["version_no"]) == (12, 6)
        assert differences(connection) == []


def test_a_movement_is_taken_back_once_by_two(
    elsewhere: tuple[Target, UUID, UUID, UUID],
) -> None:
    target, tenant, place, variant = elsewhere
    with as_app(target, tenant) as connection:
        sold = move(connection, place, variant, "sale", "available", "none", 2)

    def take_back(_: int) -> int:
        with as_app(target, tenant) as connection:
            try:
                value(connection, "SELECT ret.reverse_stock_movement(%s)", sold)
            except errors.CheckViolation:
                connection.rollback()
                return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take_back, range(4))) == 1


def test_transfers_that_cross_take_turns(elsewhere: tuple[Target, UUID, UUID, UUID]) -> None:
    target, tenant, place, variant = elsewhere
    with as_app(target, tenant) as connection:
        other = row(connection, "ret.location", location_kind="warehouse", gln=None)
        variants = [variant, *(row(connection, "ret.product_variant") for _ in range(3))]
        user = value(connection, ADA)
        for each in variants:
            for spot in (place, other):
                move(connection, spot, each, "receipt", "none", "available", 100)
    first = 105

    def carry(number: int) -> None:
        source, goal = (place, other) if number % 2 else (other, place)
        with as_app(target, tenant) as connection:
            made = row(
                connection,
                "ret.stock_transfer",
                from_location_id=source,
                to_location_id=goal,
                requested_by_user_id=user,
                requested_at="2026-05-01",
            )
            for each in variants[:: 1 if number % 3 else -1]:
                row(
                    connection,
                    "ret.stock_transfer_line",
                    stock_transfer_id=made,
                    product_variant_id=each,
                    shipped_qty=5,
                )
            for state in ("requested", "approved", "picking"):
                TestTransfers().to(connection, made, f"state = '{state}'")
        with as_app(target, tenant) as connection:
            TestTransfers().to(connection, made, "state = 'in_transit', shipped_at = now()")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(carry, range(12)))
    with as_app(target, tenant) as connection:
        assert level(connection, place, variant)["on_hand"] == first - 30
        assert level(connection, other, variant)["incoming"] == 30
        assert differences(connection) == []
