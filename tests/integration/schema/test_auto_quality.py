"""A second pair of eyes checks the work, and the board and the profit tell what it came to."""

from __future__ import annotations

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_auto_repair_orders import MOVE, job_of, order_in
from tests.integration.schema.test_hs_organization import one


def test_nobody_checks_their_own_work(app: Connection) -> None:
    order = order_in(app, "quality_check")
    own = imported(app, "auto.technician")
    job_of(app, order, "done", lead_technician_id=own, name="Pads")
    assert row(app, "auto.quality_check", repair_order_id=order)
    with pytest.raises(errors.CheckViolation, match="nobody checks their own work: Pads"):
        row(app, "auto.quality_check", repair_order_id=order, checked_by_technician_id=own)


def test_what_failed_goes_back_to_the_floor(app: Connection) -> None:
    order = order_in(app, "quality_check")
    row(app, "auto.quality_check", repair_order_id=order, result="fail", failure_text="Leaks")
    assert one(app, "SELECT status FROM auto.repair_order") == "in_progress"


@pytest.mark.parametrize("group", ["brakes", "tires"])
def test_the_torque_of_wheels_is_checked(app: Connection, group: str) -> None:
    order = order_in(app, "quality_check")
    job_of(app, order, "done", canned_job_id=imported(app, "auto.canned_job", job_group=group))
    row(app, "auto.quality_check", repair_order_id=order)
    with pytest.raises(errors.CheckViolation, match="torque was not checked"), app.transaction():
        app.execute(MOVE, ["ready_for_pickup", order])
    row(app, "auto.quality_check", repair_order_id=order, check_kind="wheel_torque",
        wheel_torque_ftlb=100)  # fmt: skip
    app.execute(MOVE, ["ready_for_pickup", order])


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"result": "waived"}, "waived_is_told"),
        ({"result": "fail"}, "failed_is_told"),
        ({"check_kind": "wheel_torque"}, "torque_is_measured"),
        ({"attempt_no": 0}, "attempt_positive"),
        ({"retorque_due_distance": 0}, "distances_positive"),
    ],
)
def test_what_cannot_be_is_refused(app: Connection, columns: dict[str, object], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"quality_check_{truth}"):
        row(app, "auto.quality_check", **columns)


def test_the_board_shows_what_is_in_the_shop(app: Connection) -> None:
    order = order_in(app, "in_progress")
    job = job_of(app, order)
    job_of(app, order, "done")
    imported(app, "auto.part_line", repair_job_id=job, status="ordered")
    board = "SELECT repair_order_id, jobs, jobs_done, parts_waiting FROM auto.v_shop_board"
    assert app.execute(board).fetchall() == [(order, 2, 1, 1)]


def test_what_is_over_leaves_the_board(app: Connection) -> None:
    order_in(app, "closed")
    assert one(app, "SELECT count(*) FROM auto.v_shop_board") == 0


def test_a_closed_order_tells_its_profit(app: Connection) -> None:
    order = order_in(app, "closed")
    job = job_of(app, order, "done")
    imported(app, "auto.labor_line", repair_job_id=job, sold_hours=2, rate_amount=100)
    imported(app, "auto.part_line", repair_job_id=job, unit_price=50, unit_cost=30,
             status="installed")  # fmt: skip
    app.execute("RESET ROLE")
    app.execute("REFRESH MATERIALIZED VIEW auto.mv_repair_order_profit")
    app.execute("SET LOCAL ROLE app_user")
    assert app.execute(
        "SELECT sales, cost, gross_profit, effective_labor_rate FROM auto.v_repair_order_profit"
    ).fetchall() == [(250, 30, 220, 100)]
