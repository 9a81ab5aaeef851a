"""What an order needs before it moves on, in the words in which it is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_auto_repair_orders import MOVE, job_of, order_in
from tests.integration.schema.test_hs_organization import one


def objection(connection: Connection, order: UUID, target: str) -> Any:
    """What stands against moving an order from where it is."""
    return one(
        connection,
        "SELECT auto.order_objection(o, %s, o.status) FROM auto.repair_order AS o"
        " WHERE o.repair_order_id = %s",
        target,
        order,
    )


def vehicle_of(connection: Connection, order: UUID) -> Any:
    return one(
        connection, "SELECT vehicle_id FROM auto.repair_order WHERE repair_order_id = %s", order
    )


def change(connection: Connection, statement: str, *values: Any) -> None:
    """A change by whoever bypasses row security."""
    connection.execute("RESET ROLE")
    connection.execute(statement.encode(), values)
    connection.execute("SET LOCAL ROLE app_user")


def check_in(connection: Connection, order: UUID) -> None:
    imported(connection, "auto.vehicle_checkin", repair_order_id=order,
             vehicle_id=vehicle_of(connection, order))  # fmt: skip


def tell_build(connection: Connection, order: UUID) -> None:
    build = imported(connection, "auto.vehicle_configuration")
    change(connection, "UPDATE auto.vehicle SET vehicle_configuration_id = %s", build)


def approve(connection: Connection, order: UUID, decision: str = "approved", **given: Any) -> None:
    job = job_of(connection, order)
    imported(connection, "auto.customer_authorization", repair_order_id=order, repair_job_id=job,
             decision=decision, method="signature", **given)  # fmt: skip


def test_a_vehicle_is_walked_around_and_known(app: Connection) -> None:
    order = order_in(app, "scheduled")
    change(app, "UPDATE auto.vehicle SET vehicle_configuration_id = NULL")
    assert objection(app, order, "checked_in") == "nobody walked around the vehicle yet"
    check_in(app, order)
    assert objection(app, order, "checked_in") == "the build of the vehicle is not known"
    tell_build(app, order)
    assert objection(app, order, "checked_in") is None


def test_a_refused_move_says_what_is_missing(app: Connection) -> None:
    order = order_in(app, "scheduled")
    with pytest.raises(errors.CheckViolation, match="cannot become checked_in: nobody walked"):
        app.execute(MOVE, ["checked_in", order])


@pytest.mark.parametrize("origin", ["checked_in", "diagnosis", "awaiting_authorization"])
def test_work_is_authorized_by_somebody(app: Connection, origin: str) -> None:
    order = order_in(app, origin)
    assert objection(app, order, "authorized") == "nobody authorized a job of it"
    approve(app, order, "declined")
    assert objection(app, order, "authorized") == "nobody authorized a job of it"
    approve(app, order, decided_at="2026-05-04 09:00+00")
    assert objection(app, order, "authorized") is None
    approve(app, order, "revoked", decided_at="2026-05-04 10:00+00")
    assert objection(app, order, "authorized") == "nobody authorized a job of it"


@pytest.mark.parametrize(
    ("status", "limit", "total", "covered"),
    [
        ("active", 500, 500, True),
        ("active", 500, 501, False),
        ("active", 500, 0, False),
        ("suspended", 500, 100, False),
        ("active", None, 100, False),
    ],
)
def test_a_standing_limit_of_a_fleet_authorizes(
    app: Connection, status: str, limit: int | None, total: int, covered: bool
) -> None:
    fleet = imported(app, "auto.fleet_account", status=status, pre_authorized_limit=limit)
    order = order_in(app, "diagnosis", fleet_account_id=fleet, grand_total=total)
    assert (objection(app, order, "authorized") is None) is covered


@pytest.mark.parametrize("origin", ["authorized", "awaiting_parts"])
def test_a_technician_accepts_a_job_first(app: Connection, origin: str) -> None:
    order = order_in(app, origin)
    job = job_of(app, order)
    dispatch = imported(app, "auto.job_dispatch", repair_job_id=job, status="dispatched")
    assert objection(app, order, "in_progress") == "no technician accepted a job of it"
    change(app, "UPDATE auto.job_dispatch SET status = 'accepted' WHERE job_dispatch_id = %s",
           dispatch)  # fmt: skip
    assert objection(app, order, "in_progress") is None


def test_high_voltage_is_off_before_work(app: Connection) -> None:
    order = order_in(app, "authorized")
    job = job_of(app, order, name="Battery pack")
    imported(app, "auto.job_dispatch", repair_job_id=job, status="accepted")
    work = imported(app, "auto.labor_operation", requires_hv_certificate=True)
    imported(app, "auto.labor_line", repair_job_id=job, labor_operation_id=work)
    live = "high voltage is not verified to be off for Battery pack"
    assert objection(app, order, "in_progress") == live
    off = {"repair_job_id": job, "vehicle_id": vehicle_of(app, order),
           "started_at": "2026-05-04 09:00+00"}  # fmt: skip
    imported(app, "auto.hv_power_down", status="isolated", **off)
    assert objection(app, order, "in_progress") == live
    imported(app, "auto.hv_power_down", status="verified", measured_v=0,
             verified_by_technician_id=row(app, "auto.technician"),
             verified_zero_at="2026-05-04 09:30+00", **off)  # fmt: skip
    assert objection(app, order, "in_progress") is None


@pytest.mark.parametrize(("kind", "enough"), [("initial", False), ("revised", True)])
def test_added_work_has_a_revised_estimate(app: Connection, kind: str, enough: bool) -> None:
    order = order_in(app, "in_progress")
    assert objection(app, order, "awaiting_authorization") == "there is no revised estimate"
    imported(app, "auto.estimate", repair_order_id=order, estimate_kind=kind)
    assert (objection(app, order, "awaiting_authorization") is None) is enough


@pytest.mark.parametrize("status", ["approved", "in_progress", "waiting"])
def test_an_open_job_keeps_an_order_on_the_floor(app: Connection, status: str) -> None:
    order = order_in(app, "in_progress")
    job_of(app, order, status, name="Pads")
    assert objection(app, order, "quality_check") == "job Pads is not done"


def test_a_running_clock_keeps_an_order_on_the_floor(app: Connection) -> None:
    order = order_in(app, "in_progress")
    job = job_of(app, order, "done", name="Pads")
    imported(app, "auto.labor_clock_entry", repair_job_id=job, clock_kind="job",
             clocked_in_at="2026-05-04 09:00+00")  # fmt: skip
    assert objection(app, order, "quality_check") == "somebody is clocked on Pads"
    change(app, "UPDATE auto.labor_clock_entry SET clocked_out_at = '2026-05-04 10:00+00'")
    assert objection(app, order, "quality_check") is None


@pytest.mark.parametrize(
    ("status", "settled"),
    [("issued", False), ("received", False), ("installed", True), ("returned", True),
     ("cancelled", True)],
)  # fmt: skip
def test_no_part_lies_about(app: Connection, status: str, settled: bool) -> None:
    order = order_in(app, "in_progress")
    job = job_of(app, order, "done")
    imported(app, "auto.part_line", repair_job_id=job, description="Pads", status=status)
    lying = "part Pads is neither installed nor returned"
    assert objection(app, order, "quality_check") == (None if settled else lying)


def test_the_last_quality_check_is_passed(app: Connection) -> None:
    order = order_in(app, "quality_check")
    failed = "it did not pass its last quality check"
    assert objection(app, order, "ready_for_pickup") == failed
    imported(app, "auto.quality_check", repair_order_id=order, attempt_no=1)
    assert objection(app, order, "ready_for_pickup") is None
    imported(app, "auto.quality_check", repair_order_id=order, attempt_no=2, result="waived",
             waived_reason="Rain")  # fmt: skip
    assert objection(app, order, "ready_for_pickup") is None


@pytest.mark.parametrize("state", ["required", "failed"])
def test_sensors_are_calibrated_before_the_keys_go_back(app: Connection, state: str) -> None:
    order = order_in(app, "quality_check")
    imported(app, "auto.quality_check", repair_order_id=order)
    imported(app, "auto.adas_sensor", position="front", requirement_reason="alignment",
             vehicle_id=vehicle_of(app, order), calibration_state=state)  # fmt: skip
    told = "a sensor of the vehicle is not calibrated"
    assert objection(app, order, "ready_for_pickup") == told
    change(app, "UPDATE auto.adas_sensor SET calibration_state = 'calibrated',"
                " last_calibrated_on = '2026-05-04'")  # fmt: skip
    assert objection(app, order, "ready_for_pickup") is None


def test_a_recall_that_forbids_driving_is_acknowledged(app: Connection) -> None:
    order = order_in(app, "quality_check")
    imported(app, "auto.quality_check", repair_order_id=order)
    campaign = imported(app, "auto.recall_campaign", risk_level="do_not_drive")
    imported(app, "auto.vehicle_recall", vehicle_id=vehicle_of(app, order), status="open",
             recall_campaign_id=campaign)  # fmt: skip
    told = "nobody acknowledged a do-not-drive recall"
    assert objection(app, order, "ready_for_pickup") == told
    change(app, "UPDATE auto.vehicle_recall SET acknowledgement_text = 'I know'")
    assert objection(app, order, "ready_for_pickup") is None


def bill(connection: Connection, order: UUID, status: str = "issued", **given: Any) -> UUID:
    return imported(connection, "auto.invoice", repair_order_id=order, status=status,
                    issued_at="2026-05-04 16:00+00", due_on="2026-05-04", **given)  # fmt: skip


def test_an_invoice_is_issued_first(app: Connection) -> None:
    order = order_in(app, "ready_for_pickup")
    assert objection(app, order, "invoiced") == "no invoice of it was issued"
    bill(app, order)
    assert objection(app, order, "invoiced") is None


def test_a_sold_tire_is_registered(app: Connection) -> None:
    order = order_in(app, "ready_for_pickup")
    bill(app, order)
    sold = imported(app, "auto.part_line", repair_job_id=job_of(app, order, "done"))
    tire = imported(app, "auto.tire", sold_part_line_id=sold)
    assert objection(app, order, "invoiced") == "a tire that it sold is not registered"
    imported(app, "auto.tire_registration", tire_id=tire)
    assert objection(app, order, "invoiced") is None


def test_a_standing_invoice_keeps_an_order_invoiced(app: Connection) -> None:
    order = order_in(app, "invoiced")
    assert objection(app, order, "ready_for_pickup") is None
    bill(app, order)
    assert objection(app, order, "ready_for_pickup") == "an invoice of it stands"


def test_an_unpaid_invoice_keeps_an_order_open(app: Connection) -> None:
    order = order_in(app, "invoiced")
    invoice = bill(app, order)
    imported(app, "auto.invoice_line", invoice_id=invoice, unit_price=100)
    assert one(app, "SELECT open_balance > 0 FROM auto.invoice")
    assert objection(app, order, "closed") == "an invoice of it is not paid"


WORKING = ["authorized", "awaiting_parts", "in_progress", "quality_check"]


@pytest.mark.parametrize("status", WORKING)
@pytest.mark.parametrize(("tolerance", "most"), [(None, 110), (5, 105), (0, 100)])
def test_work_does_not_cost_more_than_authorized(
    app: Connection, status: str, tolerance: int | None, most: int
) -> None:
    order = order_in(app, status, authorized_amount=100)
    if tolerance is not None:
        imported(app, "auto.estimate", repair_order_id=order, tolerance_pct=tolerance)
    job = job_of(app, order)
    line = row(app, "auto.labor_line", repair_job_id=job, sold_hours=1, rate_amount=most)
    price = "UPDATE auto.labor_line SET rate_amount = %s WHERE labor_line_id = %s"
    with pytest.raises(errors.CheckViolation, match=rf"would come to {most}.01, 100.00 are"):
        app.execute(price, [most + 0.01, line])


def test_nothing_is_held_to_an_authorization_before_it(app: Connection) -> None:
    order = order_in(app, "awaiting_authorization", authorized_amount=100)
    row(app, "auto.labor_line", repair_job_id=job_of(app, order), sold_hours=5, rate_amount=100)
    assert one(app, "SELECT grand_total FROM auto.repair_order") == 500
