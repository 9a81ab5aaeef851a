"""Counts, waste and transfers are posted to the ledger, and both ends agree."""

from __future__ import annotations

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_inventory import differences, make_shelf, on_hand, receive


def test_a_count_posts_what_differs_when_another_approves(app: Connection) -> None:
    shelf = make_shelf(app)
    receive(app, shelf, 10, "A", "2026-12-31")
    counter, boss = row(app, "rest.staff_member"), row(app, "rest.staff_member")
    app.execute("SELECT rest.start_count(%s, %s)", [shelf.place, counter])
    app.execute("UPDATE rest.inventory_count_line SET counted_unit_qty = 7")
    app.execute("UPDATE rest.inventory_count SET state = 'submitted', submitted_at = now()")
    approve = (
        "UPDATE rest.inventory_count SET state = 'approved', approved_at = now(),"
        " approved_by_staff_id = %s"
    )
    with pytest.raises(errors.CheckViolation, match="approved_by_another"), app.transaction():
        app.execute(approve.encode(), [counter])
    app.execute(approve.encode(), [boss])
    assert on_hand(app, shelf) == 7
    assert differences(app) == []


def test_waste_leaves_the_stock(app: Connection) -> None:
    shelf = make_shelf(app)
    receive(app, shelf, 10, "A")
    unit = app.execute("SELECT stock_unit_id FROM rest.inventory_item").fetchone()
    assert unit
    row(
        app,
        "rest.waste_log",
        inventory_item_id=shelf.item,
        location_id=shelf.place,
        unit_of_measure_id=unit[0],
        quantity=3,
    )
    assert on_hand(app, shelf) == 7
    assert differences(app) == []


def test_what_leaves_a_site_arrives_at_the_other(app: Connection) -> None:
    shelf = make_shelf(app)
    receive(app, shelf, 10, "A", "2026-12-31")
    unit = app.execute("SELECT stock_unit_id FROM rest.inventory_item").fetchone()
    assert unit
    there = row(app, "rest.location", timezone="UTC")
    row(app, "rest.storage_area", location_id=there, storage_kind="walk_in")
    transfer = row(app, "rest.stock_transfer", from_location_id=shelf.place, to_location_id=there)
    row(
        app,
        "rest.stock_transfer_line",
        stock_transfer_id=transfer,
        inventory_item_id=shelf.item,
        unit_of_measure_id=unit[0],
        requested_qty=4,
    )
    for change in (
        "state = 'approved'",
        "state = 'picked'",
        "state = 'in_transit', shipped_at = requested_at",
        "state = 'received', received_at = shipped_at",
    ):
        app.execute(f"UPDATE rest.stock_transfer SET {change}".encode())
    held = app.execute("SELECT remaining_qty FROM rest.stock_lot ORDER BY 1").fetchall()
    assert held == [(4,), (6,)]
    assert app.execute("SELECT * FROM rest.transfer_differences()").fetchall() == []
    assert differences(app) == []
