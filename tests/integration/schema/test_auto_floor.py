"""Technicians and bays are booked once, the clock runs on one thing at a time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

DAY = "2026-05-04 08:00+00"
WINDOW = "[2026-05-04 10:00+00,2026-05-04 12:00+00)"
LATER = "[2026-05-04 12:00+00,2026-05-04 14:00+00)"


def shop(app: Connection) -> UUID:
    """The shop of the tenant: the vehicle, its technicians and bays are at one place."""
    found = app.execute("SELECT shop_id FROM auto.shop ORDER BY shop_id LIMIT 1").fetchone()
    return UUID(str(found[0])) if found else row(app, "auto.shop")


def technician(app: Connection, **given: Any) -> UUID:
    return row(app, "auto.technician", shop_id=shop(app), **given)


def bay(app: Connection, **given: Any) -> UUID:
    return row(app, "auto.bay", shop_id=shop(app), **given)


def job(app: Connection, status: str = "approved", **given: Any) -> UUID:
    """A job that may be worked on; its order's rules are not ours."""
    (number,) = app.execute("SELECT count(*) FROM auto.vehicle").fetchone() or (0,)
    vehicle = row(app, "auto.vehicle", vin=f"WVF{number:05d}")
    order = row(app, "auto.repair_order", shop_id=shop(app), vehicle_id=vehicle)
    made = row(app, "auto.repair_job", repair_order_id=order, decided_at=DAY, **given)
    if status != "proposed":
        path = ["approved", status] if status in {"waiting", "in_progress", "done"} else [status]
        for step in path:
            app.execute(
                "UPDATE auto.repair_job SET status = %s, correction_text = 'Replaced',"
                " cause_text = 'Worn' WHERE repair_job_id = %s",
                [step, made],
            )
    return made


def dispatch(
    app: Connection,
    job: UUID,
    technician: UUID,
    bay: UUID | None = None,
    window: str = WINDOW,
    share: int | None = None,
) -> Any:
    (made,) = app.execute(
        "SELECT job_dispatch_id FROM auto.dispatch_job(%s, %s, %s, %s::tstzrange, %s)",
        [job, technician, bay, window, share],
    ).fetchone() or (None,)
    return made


def clock_on(app: Connection, technician: UUID, job: UUID | None, kind: str = "job") -> None:
    app.execute("SELECT auto.clock_on(%s, %s, %s)", [technician, job, kind])


def test_a_technician_is_not_in_two_windows(app: Connection) -> None:
    person = technician(app)
    dispatch(app, job(app), person)
    with pytest.raises(errors.ExclusionViolation, match="is taken"):
        dispatch(app, job(app), person)


def test_a_bay_holds_one_job_at_a_time(app: Connection) -> None:
    place = bay(app)
    dispatch(app, job(app), technician(app), place)
    with pytest.raises(errors.ExclusionViolation, match="is taken"):
        dispatch(app, job(app), technician(app), place)


def test_a_job_is_dispatched_once(app: Connection) -> None:
    work = job(app)
    dispatch(app, work, technician(app))
    with pytest.raises(errors.CheckViolation, match="dispatched already"):
        dispatch(app, work, technician(app))


def test_a_job_that_is_not_authorized_is_not_dispatched(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="is proposed"):
        dispatch(app, job(app, "proposed"), technician(app))


def test_clocking_on_closes_the_open_entry(app: Connection) -> None:
    person = technician(app)
    clock_on(app, person, None, "meeting")
    clock_on(app, person, job(app))
    found = app.execute(
        "SELECT clock_kind, clocked_out_at IS NULL FROM auto.labor_clock_entry"
        " ORDER BY clocked_in_at"
    ).fetchall()
    assert found == [("meeting", False), ("job", True)]


def test_nobody_clocks_on_to_a_job_that_is_not_authorized(app: Connection) -> None:
    person = technician(app)
    with pytest.raises(errors.CheckViolation, match="nobody clocks on"):
        clock_on(app, person, job(app, "proposed"))


def test_clocking_on_starts_the_dispatch(app: Connection) -> None:
    person, work = technician(app), job(app)
    dispatch(app, work, person)
    clock_on(app, person, work)
    assert app.execute(
        "SELECT status, clocked_in_at IS NOT NULL FROM auto.v_technician_work_queue"
    ).fetchall() == [("active", True)]


def states(app: Connection) -> list[Any]:
    return app.execute(
        "SELECT status, pause_reason FROM auto.job_dispatch ORDER BY planned_window"
    ).fetchall()


def test_the_dispatch_left_behind_is_paused(app: Connection) -> None:
    person, first, second = technician(app), job(app), job(app)
    dispatch(app, first, person)
    dispatch(app, second, person, window=LATER)
    clock_on(app, person, first)
    clock_on(app, person, second)
    assert states(app) == [("paused", "other_job"), ("active", None)]
    clock_on(app, person, None, "meeting")
    assert states(app) == [("paused", "other_job"), ("paused", "break")]


def test_clocking_on_again_keeps_the_dispatch_active(app: Connection) -> None:
    person, work = technician(app), job(app)
    dispatch(app, work, person)
    clock_on(app, person, work)
    clock_on(app, person, work, "rework")
    assert states(app) == [("active", None)]


@pytest.mark.parametrize(
    ("status", "kind", "may"),
    [
        ("proposed", "diagnosis", True),
        ("approved", "diagnosis", True),
        ("waiting", "job", True),
        ("in_progress", "job", True),
        ("proposed", "job", False),
        ("declined", "diagnosis", False),
        ("cancelled", "diagnosis", False),
        ("done", "diagnosis", False),
        ("done", "job", False),
    ],
)
def test_the_status_of_a_job_decides_who_clocks_on(
    app: Connection, status: str, kind: str, may: bool
) -> None:
    person, work = technician(app), job(app, status)
    if may:
        clock_on(app, person, work, kind)
        return
    with pytest.raises(errors.CheckViolation, match=f"is {status}: nobody clocks on"):
        clock_on(app, person, work, kind)


def test_an_unknown_technician_or_job_is_refused(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="is not known"):
        clock_on(app, technician(app), UUID(int=1))


def test_who_left_does_not_clock_on(app: Connection) -> None:
    person = technician(app, hired_on="2020-01-01", terminated_on="2021-01-01")
    with pytest.raises(errors.CheckViolation, match="left on 2021-01-01"):
        clock_on(app, person, None, "meeting")


def test_the_clock_says_what_the_technician_does(app: Connection) -> None:
    person, work = technician(app), job(app)
    seen = []
    for of_job, kind in ((work, "job"), (None, "waiting"), (None, "meeting")):
        clock_on(app, person, of_job, kind)
        seen += app.execute("SELECT dispatch_status FROM auto.technician").fetchall()
    assert seen == [("on_job",), ("waiting",), ("available",)]


def test_clock_entries_do_not_overlap(app: Connection) -> None:
    entry = {"technician_id": technician(app), "clock_kind": "meeting"}
    row(app, "auto.labor_clock_entry", clocked_in_at=DAY, **entry)
    with pytest.raises(errors.ExclusionViolation):
        row(
            app,
            "auto.labor_clock_entry",
            clocked_in_at="2026-05-04 09:00+00",
            clocked_out_at="2026-05-04 10:00+00",
            **entry,
        )
