"""What is shipped leaves its site and arrives at the other as the same lots, or with a cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
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

TRANSFER = {
    "requested": {"approved", "cancelled"},
    "approved": {"picked", "cancelled"},
    "picked": {"in_transit", "cancelled"},
    "in_transit": {"received"},
    "received": set(),
    "cancelled": set(),
}
TIMES = {
    "in_transit": {"shipped_at": DAY},
    "received": {"shipped_at": DAY, "received_at": DAY},
}


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
                "UPDATE rest.stock_transfer SET state = %s, shipped_at = CASE WHEN %s IN"
                " ('in_transit', 'received') THEN requested_at END, received_at = CASE %s"
                " WHEN 'received' THEN requested_at END WHERE stock_transfer_id = %s",
                [state, state, state, self.transfer],
            )

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

    def differences(self) -> list[Any]:
        return self.connection.execute(
            "SELECT figure, said, found FROM rest.transfer_differences() ORDER BY figure"
        ).fetchall()


def load(connection: Connection, quantity: float = 7, **line: Any) -> Van:
    """Four to use by the 10th and five by the 20th; some of them are to go to another site."""
    source = make_shelf(connection, item_code="CREAM")
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


class TestArrival:
    def test_what_is_recalled_on_the_way_arrives_recalled(self, van: Van) -> None:
        van.ship()
        van.connection.execute("UPDATE rest.stock_lot SET status = 'recalled'")
        van.become("received")
        with pytest.raises(errors.CheckViolation, match="is short of"):
            consume(van.connection, van.target, 1)

    def test_what_was_not_shipped_and_came_is_booked(self, app: Connection) -> None:
        van = load(app, shipped_qty=0)
        van.ship()
        van.note(2, "over")
        van.become("received")
        assert on_hand(app, van.target) == 2
        assert van.differences() == []

    def test_a_line_does_not_leave_its_transfer(self, van: Van) -> None:
        van.ship()
        other = row(van.connection, "rest.stock_transfer")
        with pytest.raises(errors.RestrictViolation):
            van.change("stock_transfer_id", other)
