"""An order goes through its states, every move is written down, and totals are nobody's typing."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.wear import touched, written

ORDER: dict[str, set[str]] = {
    "scheduled": {"checked_in", "cancelled"},
    "checked_in": {"diagnosis", "awaiting_authorization", "authorized", "cancelled"},
    "diagnosis": {"awaiting_authorization", "authorized", "ready_for_pickup", "cancelled"},
    "awaiting_authorization": {"authorized", "diagnosis", "ready_for_pickup", "cancelled"},
    "authorized": {"in_progress", "awaiting_parts", "awaiting_authorization", "cancelled"},
    "awaiting_parts": {"authorized", "in_progress", "cancelled"},
    "in_progress": {"quality_check", "awaiting_parts", "awaiting_authorization"},
    "quality_check": {"ready_for_pickup", "in_progress"},
    "ready_for_pickup": {"invoiced", "in_progress"},
    "invoiced": {"closed", "ready_for_pickup"},
    "closed": set(),
    "cancelled": set(),
}
MOVE = "UPDATE auto.repair_order SET status = %s WHERE repair_order_id = %s"
EVENTS = (
    "SELECT from_status, to_status, reason_code FROM auto.repair_order_status_event"
    " WHERE repair_order_id = %s ORDER BY repair_order_status_event_id"
)


def order_in(connection: Connection, status: str, **given: Any) -> UUID:
    """An order that came to a state a while ago."""
    times = {"opened_at": "2026-05-04 08:00+00"}
    if status in ("closed", "cancelled"):
        times["closed_at"] = "2026-05-04 17:00+00"
    return imported(connection, "auto.repair_order", status=status, **{**times, **given})


def job_of(connection: Connection, order: UUID, status: str = "approved", **given: Any) -> UUID:
    """A job of an order in a state."""
    usual = {"decided_at": "2026-05-04 09:00+00"}
    if status == "done":
        usual["correction_text"] = "Replaced"
    return imported(connection, "auto.repair_job", repair_order_id=order, status=status,
                    **{**usual, **given})  # fmt: skip


def meet_guards(connection: Connection, order: UUID) -> None:
    """All that the moves of an order may ask for, but for its invoice."""
    vehicle = one(
        connection, "SELECT vehicle_id FROM auto.repair_order WHERE repair_order_id = %s", order
    )
    connection.execute("RESET ROLE")
    build = row(connection, "auto.vehicle_configuration")
    connection.execute(
        "UPDATE auto.vehicle SET vehicle_configuration_id = %s WHERE vehicle_id = %s",
        [build, vehicle],
    )
    row(connection, "auto.vehicle_checkin", repair_order_id=order, vehicle_id=vehicle)
    connection.execute("SET LOCAL ROLE app_user")
    job = job_of(connection, order, "done")
    imported(connection, "auto.job_dispatch", repair_job_id=job, status="accepted")
    offer = imported(connection, "auto.estimate", repair_order_id=order, estimate_kind="revised",
                     status="sent", sent_at="2036-05-04 09:00+00")  # fmt: skip
    imported(connection, "auto.customer_authorization", repair_order_id=order, estimate_id=offer,
             decision="approved", method="signature")  # fmt: skip
    imported(connection, "auto.quality_check", repair_order_id=order)


@pytest.mark.parametrize(("before", "after"), list(permutations(ORDER, 2)))
def test_an_order_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    allowed = after in ORDER[before]
    assert one(app, "SELECT auto.is_order_edge(%s, %s)", before, after) is allowed
    order = order_in(app, before)
    if not allowed:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}|cannot become"):
            app.execute(MOVE, [after, order])
        return
    meet_guards(app, order)
    if after == "invoiced":
        imported(app, "auto.invoice", repair_order_id=order, status="issued",
                 issued_at="2026-05-04 16:00+00", due_on="2026-05-04")  # fmt: skip
    app.execute(MOVE, [after, order])
    assert app.execute(EVENTS, [order]).fetchall() == [(before, after, "normal")]


@pytest.mark.parametrize("begun", list(ORDER))
def test_an_order_begins_as_a_promise_or_at_the_door(app: Connection, begun: str) -> None:
    edge = one(app, "SELECT auto.is_order_edge(NULL, %s)", begun)
    assert edge is (begun in ("scheduled", "checked_in"))
    if edge:
        assert row(app, "auto.repair_order", status=begun)
        return
    closed_at = "2036-01-01" if begun in ("closed", "cancelled") else None
    parents = {
        column: row(app, f"auto.{column.removesuffix('_id')}")
        for column in ("shop_id", "customer_id", "vehicle_id")
    }
    with pytest.raises(errors.CheckViolation, match=begun):
        row(app, "auto.repair_order", status=begun, closed_at=closed_at, **parents)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"odometer_in_reading": -1}, "odometer_not_negative"),
        ({"odometer_in_reading": 10, "odometer_out": 9}, "odometer_forward"),
        ({"completed_at": "2020-01-01"}, "completed_after_opening"),
        ({"closed_at": "2036-01-01"}, "closed_has_time"),
        ({"authorized_amount": -1}, "amounts_not_negative"),
        ({"order_kind": "wash"}, "kind_known"),
    ],
)
def test_what_cannot_be_is_refused(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"repair_order_{truth}"):
        row(app, "auto.repair_order", **columns)


def test_orders_are_numbered(app: Connection) -> None:
    parents = {
        column: row(app, f"auto.{column.removesuffix('_id')}")
        for column in ("shop_id", "customer_id", "vehicle_id")
    }
    numbers = [
        one(app, "SELECT ro_number FROM auto.repair_order WHERE repair_order_id = %s", found)
        for found in [row(app, "auto.repair_order", ro_number=None, **parents) for _ in "ab"]
    ]
    assert numbers[0].startswith("RO-")
    assert numbers[0] != numbers[1]


def test_every_change_raises_the_version(app: Connection) -> None:
    order = row(app, "auto.repair_order")
    app.execute("UPDATE auto.repair_order SET key_tag = '7'")
    app.execute("UPDATE auto.repair_order SET key_tag = '8', version = 1")
    assert one(app, "SELECT version FROM auto.repair_order WHERE repair_order_id = %s", order) == 3


def test_moves_stamp_their_times(app: Connection) -> None:
    order = order_in(app, "in_progress")
    meet_guards(app, order)
    stamped = "SELECT completed_at = now(), closed_at = now() FROM auto.repair_order"
    app.execute(MOVE, ["quality_check", order])
    assert app.execute(stamped).fetchone() == (True, None)
    app.execute(MOVE, ["in_progress", order])
    assert app.execute(stamped).fetchone() == (None, None)


def test_closing_stamps_its_time(app: Connection) -> None:
    order = order_in(app, "invoiced")
    app.execute(MOVE, ["closed", order])
    assert one(app, "SELECT closed_at = now() FROM auto.repair_order")


@pytest.mark.parametrize("status", ["closed", "cancelled"])
def test_what_is_over_stands(app: Connection, status: str) -> None:
    order_in(app, status)
    with pytest.raises(errors.CheckViolation, match=f"is {status}, it is not changed"):
        app.execute("UPDATE auto.repair_order SET key_tag = '7'")


def test_a_move_with_its_reason_is_made_once(app: Connection) -> None:
    order = order_in(app, "authorized", opened_at="2026-05-04 08:00+00")
    move = "SELECT status FROM auto.transition_repair_order(%s, %s, %s, %s)"
    asked = (order, "awaiting_parts", "parts_delay", "tap-1")
    assert one(app, move, *asked) == "awaiting_parts"
    assert one(app, move, *asked) == "awaiting_parts"
    assert app.execute(EVENTS, [order]).fetchall() == [
        ("authorized", "awaiting_parts", "parts_delay")
    ]
    assert one(app, "SELECT dwell_minutes > 0 FROM auto.repair_order_status_event")


def test_a_move_off_the_edges_is_told(app: Connection) -> None:
    order = order_in(app, "authorized")
    with pytest.raises(errors.CheckViolation, match="is authorized, it cannot become closed"):
        app.execute("SELECT auto.transition_repair_order(%s, 'closed')", [order])


def test_an_order_that_is_not_there_is_told(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no repair order"):
        app.execute("SELECT auto.transition_repair_order(system_core.uuid_v7(), 'closed')")


def test_the_trail_stands(app: Connection) -> None:
    order = order_in(app, "authorized")
    app.execute(MOVE, ["awaiting_parts", order])
    with pytest.raises(errors.InsufficientPrivilege, match="repair_order_status_event"):
        app.execute("DELETE FROM auto.repair_order_status_event")


def test_totals_roll_up_from_lines(app: Connection) -> None:
    order = order_in(app, "diagnosis")
    job = row(app, "auto.repair_job", repair_order_id=order)
    row(app, "auto.labor_line", repair_job_id=job, sold_hours=2, rate_amount=100)
    part = row(app, "auto.part_line", repair_job_id=job, qty=2, unit_price=50)
    row(app, "auto.sublet_line", repair_job_id=job, price_amount=30)
    app.execute("UPDATE auto.repair_job SET discount_amount = 5")
    totals = "SELECT labor_total, parts_total, grand_total FROM auto.repair_order"
    assert app.execute(totals).fetchone() == (200, 100, 325)
    app.execute("UPDATE auto.part_line SET status = 'cancelled' WHERE part_line_id = %s", [part])
    assert app.execute(totals).fetchone() == (200, 0, 225)
    app.execute("DELETE FROM auto.labor_line")
    assert app.execute(totals).fetchone() == (0, 0, 25)
    app.execute("UPDATE auto.repair_job SET status = 'declined', decided_at = now()")
    assert app.execute(totals).fetchone() == (0, 0, 0)
    assert app.execute("SELECT * FROM auto.order_differences()").fetchall() == []


def test_a_total_that_was_typed_in_is_found(app: Connection) -> None:
    order = order_in(app, "diagnosis")
    job = row(app, "auto.repair_job", repair_order_id=order)
    row(app, "auto.labor_line", repair_job_id=job, sold_hours=2, rate_amount=100)
    app.execute("UPDATE auto.repair_order SET grand_total = 150")
    assert app.execute("SELECT * FROM auto.order_differences()").fetchall() == [
        (order, "grand_total", 150, 200)
    ]


def test_how_long_an_order_waited_is_read_from_its_last_move(app: Connection) -> None:
    order = order_in(app, "authorized")
    written(
        app,
        "INSERT INTO auto.repair_order_status_event (business_id, repair_order_id, changed_at,"
        " from_status, to_status, client_event_ref)"
        " SELECT tenant_mgmt.current_business_id(), %s, now() - n.n * interval '1 minute',"
        " 'authorized', 'awaiting_parts', 'tap-' || n.n FROM generate_series(7, 800) AS n (n)",
        order,
    )
    call = "SELECT auto.order_dwell_minutes(%s, now())"
    assert one(app, call, order) == 7
    assert touched(app, call, order) < 40
