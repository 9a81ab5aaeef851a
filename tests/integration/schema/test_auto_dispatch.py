"""Jobs go to certified technicians and usable bays, whole and once, however many dispatch them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_floor import LATER, bay, dispatch, job, technician

TABLETS = 6
NEXT = {
    "planned": {"dispatched", "active", "reassigned"},
    "dispatched": {"accepted", "active", "reassigned"},
    "accepted": {"active", "reassigned"},
    "active": {"paused", "done", "reassigned"},
    "paused": {"active", "done", "reassigned"},
    "done": set(),
    "reassigned": set(),
}
WAY = {
    "planned": ["planned"],
    "dispatched": ["dispatched"],
    "accepted": ["dispatched", "accepted"],
    "active": ["dispatched", "active"],
    "paused": ["dispatched", "active", "paused"],
    "done": ["dispatched", "active", "done"],
    "reassigned": ["dispatched", "reassigned"],
}


def move(app: Connection, made: UUID, status: str) -> None:
    app.execute(
        "UPDATE auto.job_dispatch SET status = %s, started_at = lower(planned_window),"
        " finished_at = upper(planned_window), pause_reason = 'tool', reassigned_reason = 'ill'"
        " WHERE job_dispatch_id = %s",
        [status, made],
    )


@pytest.mark.parametrize(("origin", "target"), list(permutations(NEXT, 2)))
def test_a_dispatch_goes_its_way(app: Connection, origin: str, target: str) -> None:
    start, *steps = WAY[origin]
    made = row(
        app,
        "auto.job_dispatch",
        repair_job_id=job(app),
        technician_id=technician(app),
        bay_id=None,
        status=start,
    )
    for step in steps:
        move(app, made, step)
    if target in NEXT[origin]:
        move(app, made, target)
        return
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, made, target)


# Who does what.


def needs(app: Connection, work: UUID, **asked: Any) -> None:
    operation = row(app, "auto.labor_operation", **{"work_kind": "mechanical", **asked})
    row(app, "auto.labor_line", repair_job_id=work, labor_operation_id=operation)


def certify(app: Connection, person: UUID, program: str, code: str, **given: Any) -> UUID:
    values = {"status": "valid", "verified_at": "2026-01-01 12:00+00", **given}
    return row(
        app,
        "auto.technician_certification",
        technician_id=person,
        program=program,
        test_code=code,
        **values,
    )


NEEDS = [
    ({"required_ase_code": "A5"}, "ASE A5", ("ase", "A5")),
    ({"requires_hv_certificate": True}, "a high voltage certificate", ("ev_hv", "HV2")),
    ({"requires_609_certificate": True}, "a section 609 certificate", ("epa_609", "S609")),
]


@pytest.mark.parametrize(("asked", "lack", "held"), NEEDS)
def test_a_certificate_that_an_operation_asks_for_is_needed(
    app: Connection, asked: dict[str, Any], lack: str, held: tuple[str, str]
) -> None:
    work, person = job(app), technician(app)
    needs(app, work, **asked)
    with pytest.raises(errors.CheckViolation, match=f"lacks {lack}"), app.transaction():
        dispatch(app, work, person)
    certify(app, person, *held)
    assert dispatch(app, work, person)


def test_a_certificate_that_lapses_before_the_day_is_none(app: Connection) -> None:
    work, person = job(app), technician(app)
    needs(app, work, required_ase_code="A5")
    certify(app, person, "ase", "A5", issued_on="2021-05-03", expires_on="2026-05-03")
    with pytest.raises(errors.CheckViolation, match="lacks ASE A5"):
        dispatch(app, work, person)


def test_a_certificate_of_another_test_is_none(app: Connection) -> None:
    work, person = job(app), technician(app)
    needs(app, work, required_ase_code="A5")
    certify(app, person, "ase", "A4")
    with pytest.raises(errors.CheckViolation, match="lacks ASE A5"):
        dispatch(app, work, person)


@pytest.mark.parametrize("role", ["service_advisor", "estimator", "parts"])
def test_who_turns_no_wrenches_gets_no_jobs(app: Connection, role: str) -> None:
    with pytest.raises(errors.CheckViolation, match="does no jobs"):
        dispatch(app, job(app), technician(app, role=role))


def test_who_left_gets_no_jobs(app: Connection) -> None:
    person = technician(app, hired_on="2020-01-01", terminated_on="2026-05-01")
    with pytest.raises(errors.CheckViolation, match="does not work here"):
        dispatch(app, job(app), person)


def test_another_shop_does_not_do_the_job(app: Connection) -> None:
    work, person, place = job(app), technician(app), bay(app)
    other = row(app, "auto.shop")
    stranger = row(app, "auto.technician", shop_id=other)
    far_bay = row(app, "auto.bay", shop_id=other)
    not_here = pytest.raises(errors.CheckViolation, match=r"technician .* is not of shop")
    with not_here, app.transaction():
        dispatch(app, work, stranger, place)
    with pytest.raises(errors.CheckViolation, match=r"bay .* is not of shop"):
        dispatch(app, work, person, far_bay)


@pytest.mark.parametrize("status", ["out_of_service", "retired"])
def test_a_bay_that_takes_no_work_is_refused(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match=status.replace("_", " ")):
        dispatch(app, job(app), technician(app), bay(app, status=status))


@pytest.mark.parametrize("status", ["proposed", "declined", "cancelled", "done"])
def test_a_job_that_is_not_to_be_done_is_refused(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"is {status}: it is not dispatched"):
        dispatch(app, job(app, status), technician(app))


# Shares.


def test_two_technicians_share_a_job(app: Connection) -> None:
    work = job(app, book_hours=5)
    dispatch(app, work, technician(app), share=60)
    dispatch(app, work, technician(app))
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert app.execute(
        "SELECT split_pct::integer, planned_hours::text FROM auto.job_dispatch ORDER BY split_pct"
    ).fetchall() == [(40, "2.00"), (60, "3.00")]


def test_a_share_alone_does_not_stay(app: Connection) -> None:
    dispatch(app, job(app), technician(app), share=60)
    with pytest.raises(errors.CheckViolation, match="share 60 percent"):
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_more_than_is_left_is_refused(app: Connection) -> None:
    work = job(app)
    dispatch(app, work, technician(app), share=60)
    with pytest.raises(errors.CheckViolation, match="has 40 percent left, not 50"):
        dispatch(app, work, technician(app), share=50)


def test_a_reassigned_job_is_dispatched_again(app: Connection) -> None:
    work, place = job(app), bay(app)
    first = dispatch(app, work, technician(app), place)
    move(app, first, "reassigned")
    assert dispatch(app, work, technician(app), place)
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_the_queue_shows_live_dispatches_only(app: Connection) -> None:
    person = technician(app)
    done, open_one = job(app), job(app)
    made = dispatch(app, done, person)
    for step in ("active", "done"):
        move(app, made, step)
    dispatch(app, open_one, person, window=LATER)
    assert app.execute(
        "SELECT repair_job_id, status, clocked_in_at FROM auto.v_technician_work_queue"
    ).fetchall() == [(open_one, "dispatched", None)]


# Many at once.


@pytest.fixture
def crowd(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID]:
    """A committed shop in a database of its own, for tablets that tap at once."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "crowd")
    return target, tenant


def test_tablets_do_not_double_book_a_bay(crowd: tuple[Target, UUID]) -> None:
    target, tenant = crowd
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        place = bay(connection)
        pairs = [(job(connection), technician(connection)) for _ in range(TABLETS)]

    def tap(pair: tuple[UUID, UUID]) -> bool:
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            try:
                dispatch(connection, *pair, place)
            except errors.ExclusionViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(TABLETS) as pool:
        assert list(pool.map(tap, pairs)).count(True) == 1


def test_tablets_clock_one_technician_on_once(crowd: tuple[Target, UUID]) -> None:
    target, tenant = crowd
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        person = technician(connection)
        jobs = [job(connection) for _ in range(TABLETS)]

    def tap(work: UUID) -> None:
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            connection.execute("SELECT auto.clock_on(%s, %s, 'job')", [person, work])

    with ThreadPoolExecutor(TABLETS) as pool:
        list(pool.map(tap, jobs))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE clocked_out_at IS NULL)"
            " FROM auto.labor_clock_entry"
        ).fetchone() == (TABLETS, 1)
