"""What is found is advised once, sold or declined, and added up."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_diagnostics import detect, scan
from tests.integration.schema.test_auto_inspections import answer, inspect, point
from tests.integration.schema.test_hs_organization import one

MOVES = {
    "open": {"quoted", "approved", "declined", "deferred", "expired"},
    "quoted": {"approved", "declined", "deferred", "expired", "open"},
    "approved": {"done", "declined"},
    "declined": {"quoted", "approved", "expired"},
    "deferred": {"quoted", "approved", "declined", "expired"},
    "done": set(),
    "expired": {"open"},
}
PATHS = {
    "open": [],
    "quoted": ["quoted"],
    "approved": ["approved"],
    "declined": ["declined"],
    "deferred": ["deferred"],
    "done": ["approved", "done"],
    "expired": ["expired"],
}


def advise(app: Connection, **given: Any) -> UUID:
    """A recommendation that may go anywhere: it has a job and a reason."""
    return row(
        app,
        "auto.service_recommendation",
        **{
            "converted_repair_job_id": row(app, "auto.repair_job"),
            "declined_reason": "price",
            **given,
        },
    )


def become(app: Connection, *states: str) -> None:
    for state in states:
        app.execute("UPDATE auto.service_recommendation SET status = %s", [state])


def advice(app: Connection) -> Any:
    return app.execute(
        "SELECT title, urgency, source_kind, status FROM auto.service_recommendation ORDER BY title"
    ).fetchall()


@pytest.mark.parametrize("old", MOVES)
def test_a_recommendation_moves_along_its_edges(app: Connection, old: str) -> None:
    for new in MOVES.keys() - {old}:
        app.execute("SAVEPOINT edge")
        advise(app)
        become(app, *PATHS[old])
        if new in MOVES[old]:
            become(app, new)
            assert one(app, "SELECT status FROM auto.service_recommendation") == new
        else:
            with pytest.raises(errors.CheckViolation):
                become(app, new)
        app.execute("ROLLBACK TO edge")


@pytest.mark.parametrize(
    ("given", "state", "truth"),
    [
        ({"converted_repair_job_id": None}, "approved", "sold_has_job"),
        ({"declined_reason": None}, "declined", "declined_has_reason"),
    ],
)
def test_what_is_decided_says_how(
    app: Connection, given: dict[str, Any], state: str, truth: str
) -> None:
    advise(app, **given)
    with pytest.raises(errors.CheckViolation, match=f"service_recommendation_{truth}"):
        become(app, state)


def test_declines_are_counted(app: Connection) -> None:
    advise(app)
    become(app, "declined", "quoted", "declined")
    assert one(app, "SELECT decline_count FROM auto.service_recommendation") == 2


def test_a_vehicle_is_told_a_job_once(app: Connection) -> None:
    vehicle, job = row(app, "auto.vehicle"), row(app, "auto.canned_job")
    advise(app, vehicle_id=vehicle, canned_job_id=job)
    become(app, "declined")
    advise(app, vehicle_id=vehicle, canned_job_id=job)
    with pytest.raises(errors.UniqueViolation, match="service_recommendation_open_job_idx"):
        advise(app, vehicle_id=vehicle, canned_job_id=job)


@pytest.mark.parametrize("with_job", [True, False])
def test_a_red_point_is_advised_once_and_never_loses_its_urgency(
    app: Connection, with_job: bool
) -> None:
    job = row(app, "auto.canned_job") if with_job else None
    item = point(app, is_safety_item=True, canned_job_id=job)
    inspection = inspect(app, item)
    answer(app, inspection, item, "lf", measured_value=1)
    newest = answer(app, inspection, item, "rf", measured_value=4)
    answer(app, inspection, item, "rr", measured_value=9)
    assert advice(app) == [("Tread depth", "safety_now", "inspection", "open")]
    named = one(app, "SELECT inspection_result_id FROM auto.service_recommendation")
    assert named == newest


def test_a_green_point_that_turns_red_is_advised(app: Connection) -> None:
    item = point(app)
    answer(app, inspect(app, item), item, measured_value=9)
    assert advice(app) == []
    app.execute("UPDATE auto.inspection_result SET measured_value = 1")
    assert advice(app) == [("Tread depth", "soon", "inspection", "open")]


def test_a_code_is_advised_once_a_vehicle(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    row(app, "auto.dtc_definition", dtc_code="P0300", description="Random Misfire")
    detect(app, scan(app, vehicle), "P0300", severity=None)
    newest = detect(app, scan(app, vehicle, "2026-05-08 10:00+00"), "P0300", severity=None)
    assert advice(app) == [("Diagnose P0300: Random Misfire", "soon", "dtc", "open")]
    assert one(app, "SELECT detected_dtc_id FROM auto.service_recommendation") == newest


def test_a_dangerous_code_is_urgent(app: Connection) -> None:
    detect(app, scan(app, row(app, "auto.vehicle")), "P3FFF", severity="do_not_drive")
    assert advice(app) == [("Diagnose P3FFF", "safety_now", "dtc", "open")]


def test_declined_work_is_added_up_for_its_tenant_alone(
    app: Connection, admin: Connection, tenant: UUID
) -> None:
    vehicle = row(app, "auto.vehicle")
    given = {"vehicle_id": vehicle, "recommended_on": "2026-05-04", "urgency": "soon"}
    advise(app, title="Brakes", quoted_amount=300, **given)
    advise(app, title="Tires", quoted_amount=500, **given)
    become(app, "declined")
    app.execute("UPDATE auto.service_recommendation SET status = 'approved' WHERE title = 'Tires'")
    advise(app, title="Wipers", quoted_amount=20, **given)
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW auto.mv_declined_work")
    other = add_tenant(admin, "second")
    become_app(admin, tenant)
    found = app.execute(
        "SELECT month_start::text, declined_count, open_amount, converted_amount"
        " FROM auto.v_declined_work"
    ).fetchall()
    assert found == [("2026-05-01", 2, 300, 500)]
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [other])
    assert admin.execute("SELECT * FROM auto.v_declined_work").fetchall() == []


def test_nobody_reads_the_declined_work_of_all(app: Connection) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("SELECT FROM auto.mv_declined_work")
