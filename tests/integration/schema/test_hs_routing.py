"""A solution becomes routes; a day that has begun is left alone; distances are great circles."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_scheduling import Shop, add_work_order, book, hold, shop
from tests.integration.schema.test_hs_workforce import add_technician, may_become

__all__ = ["shop"]

TENANT = "tenant_mgmt.current_business_id()"
RUN = {
    "queued": {"running", "discarded"},
    "running": {"solved", "partially_solved", "failed"},
    "solved": {"applied", "discarded"},
    "partially_solved": {"applied", "discarded"},
    "failed": {"queued", "discarded"},
    "applied": set(),
    "discarded": set(),
}
ROUTE = {
    "draft": {"published", "superseded"},
    "published": {"in_progress", "superseded"},
    "in_progress": {"completed", "superseded"},
    "completed": set(),
    "superseded": set(),
}


@pytest.fixture
def technician(app: Connection, shop: Shop) -> UUID:
    """Somebody to drive."""
    return add_technician(app)


@pytest.fixture
def visits(app: Connection, shop: Shop) -> list[UUID]:
    """Two visits of tomorrow."""
    return [
        book(app, add_work_order(app, number), hold(app, shop.plan, 60)) for number in ("W1", "W2")
    ]


@pytest.fixture
def run(app: Connection, shop: Shop) -> UUID:
    """A run that waits for its solution."""
    app.execute(
        "INSERT INTO hs.optimization_profile (business_id, profile_code, name)"
        f" VALUES ({TENANT}, 'balanced', 'Balanced')"
    )
    found: UUID = one(
        app,
        "INSERT INTO hs.optimization_run (business_id, optimization_profile_id, horizon_start_at,"
        " horizon_end_at, started_at) SELECT business_id, optimization_profile_id, now(),"
        " now() + interval '1 day', now() FROM hs.optimization_profile"
        " RETURNING optimization_run_id",
    )
    app.execute("UPDATE hs.optimization_run SET status = 'running'")
    return found


def solution(technician: UUID, visits: list[UUID], hour: int = 9, **more: Any) -> str:
    """Both visits, one after the other, from an hour of tomorrow on."""
    steps = [
        {
            "appointment_id": str(visit),
            "arrival": f"2030-01-02T{hour + place:02d}:00:00Z",
            "duration": 45,
            "drive": 15,
        }
        for place, visit in enumerate(visits)
    ]
    routes = [{"technician_id": str(technician), "steps": steps}]
    return json.dumps({"routes": routes, "unassigned": [], **more})


def receive(connection: Connection, run: UUID, document: str) -> int:
    received: int = one(connection, "SELECT hs.receive_solution(%s, %s::jsonb)", run, document)
    return received


def test_a_solution_is_read_into_assignments(
    app: Connection, run: UUID, technician: UUID, visits: list[UUID]
) -> None:
    left = [{"appointment_id": str(visits[1]), "reason": "no_skill"}]
    assert receive(app, run, solution(technician, visits[:1], unassigned=left)) == 2
    found = app.execute(
        "SELECT outcome, stop_seq, drive_minutes, unassigned_reason,"
        " proposed_end_at - proposed_start_at = interval '45 minutes'"
        " FROM hs.optimization_assignment ORDER BY outcome"
    ).fetchall()
    assert found == [("assigned", 1, 15, None, True), ("unassigned", None, None, "no_skill", None)]
    assert app.execute(
        "SELECT status, unassigned_count, total_drive_minutes FROM hs.optimization_run"
    ).fetchall() == [("partially_solved", 1, 15)]


def test_a_run_receives_one_solution(
    app: Connection, run: UUID, technician: UUID, visits: list[UUID]
) -> None:
    receive(app, run, solution(technician, visits))
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is not waiting"):
        receive(app, run, solution(technician, visits))


def test_an_applied_run_moves_visits_and_publishes_the_day(
    app: Connection, run: UUID, technician: UUID, visits: list[UUID]
) -> None:
    receive(app, run, solution(technician, visits))
    assert one(app, "SELECT hs.apply_optimization_run(%s)", run) == 2
    assert app.execute(
        "SELECT version_no, status, planned_drive_minutes, planned_service_minutes"
        " FROM hs.route_plan"
    ).fetchall() == [(1, "published", 30, 90)]
    assert app.execute(
        "SELECT stop_seq, appointment_id FROM hs.route_stop ORDER BY stop_seq"
    ).fetchall() == [(1, visits[0]), (2, visits[1])]
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="no solution to apply"):
        app.execute("SELECT hs.apply_optimization_run(%s)", [run])


def test_the_day_of_the_technician_tells_whom_to_visit(
    app: Connection, run: UUID, technician: UUID, visits: list[UUID]
) -> None:
    receive(app, run, solution(technician, visits))
    app.execute("SELECT hs.apply_optimization_run(%s)", [run])
    day = app.execute(
        "SELECT stop_seq, work_order_number FROM hs.v_technician_day_route"
        " WHERE technician_id = %s ORDER BY stop_seq",
        [technician],
    ).fetchall()
    assert day == [(1, "W1"), (2, "W2")]


@pytest.mark.parametrize(
    ("status", "versions"),
    [
        ("published", [(1, "superseded"), (2, "published")]),
        ("in_progress", [(1, "in_progress")]),
    ],
)
def test_planning_anew_makes_a_version_unless_the_day_has_begun(
    app: Connection,
    run: UUID,
    technician: UUID,
    visits: list[UUID],
    status: str,
    versions: list[tuple[int, str]],
) -> None:
    app.execute(
        "INSERT INTO hs.route_plan (business_id, technician_id, route_on, status, planned_start_at,"
        f" planned_end_at) VALUES ({TENANT}, %s, '2030-01-02', 'published', '2030-01-02 08:00Z',"
        " '2030-01-02 16:00Z')",
        [technician],
    )
    app.execute("UPDATE hs.route_plan SET status = %s", [status])
    receive(app, run, solution(technician, visits))
    app.execute("SELECT hs.apply_optimization_run(%s)", [run])
    found = app.execute("SELECT version_no, status FROM hs.route_plan ORDER BY 1").fetchall()
    assert found == versions


def test_two_versions_of_a_day_are_not_driven_at_once(app: Connection, technician: UUID) -> None:
    insert = (
        "INSERT INTO hs.route_plan (business_id, technician_id, route_on, version_no, status,"
        f" planned_start_at, planned_end_at) VALUES ({TENANT}, %s, '2030-01-02', %s, 'published',"
        " now(), now() + interval '8 hours')"
    )
    app.execute(insert.encode(), [technician, 1])
    with pytest.raises(errors.UniqueViolation, match="route_plan_live_idx"):
        app.execute(insert.encode(), [technician, 2])


def test_a_what_if_is_never_applied(
    app: Connection, run: UUID, technician: UUID, visits: list[UUID]
) -> None:
    app.execute("UPDATE hs.optimization_run SET run_kind = 'what_if'")
    receive(app, run, solution(technician, visits))
    with pytest.raises(errors.CheckViolation, match="what_if_is_not_applied"):
        app.execute("SELECT hs.apply_optimization_run(%s)", [run])


@pytest.mark.parametrize(
    ("place", "km"),
    [
        ((41.8781, -87.6298, 40.7128, -74.0060), 1144.3),
        ((0, 0, 0, 180), 20015.1),
        ((9, 9, 9, 9), 0),
    ],
)
def test_distance_is_that_of_a_great_circle(
    app: Connection, place: tuple[float, ...], km: float
) -> None:
    found = one(app, "SELECT system_core.distance_km(%s, %s, %s, %s)", *place)
    assert float(found) == pytest.approx(km, abs=0.1)


def test_a_drive_is_what_the_cache_knows_for_the_hour(app: Connection) -> None:
    app.execute(
        "INSERT INTO hs.travel_time_cache (business_id, origin_cell, destination_cell,"
        f" departure_bucket, travel_minutes, distance_km, expires_at) VALUES ({TENANT},"
        " hs.map_cell(41.80, -87.60), hs.map_cell(41.90, -87.60), 'am_peak', 55, 11,"
        " '2040-01-01')"
    )
    ask = "SELECT hs.drive_minutes(41.80, -87.60, 41.90, -87.60, %s::timestamp AT TIME ZONE 'UTC')"
    app.execute("SET LOCAL TIME ZONE 'UTC'")
    assert one(app, ask, "2030-01-02 08:00") == 55
    assert one(app, ask, "2030-01-02 12:00") == 20, "11.12 km at 35 km/h"
    assert one(app, ask, "2041-01-02 08:00") == 20, "what expired is not known"


def test_the_state_machines_refuse_every_other_transition(
    app: Connection, run: UUID, technician: UUID, visits: list[UUID]
) -> None:
    receive(app, run, solution(technician, visits))
    app.execute(
        "INSERT INTO hs.route_plan (business_id, technician_id, route_on, planned_start_at,"
        f" planned_end_at) VALUES ({TENANT}, %s, '2030-01-02', now(), now() + interval '1 hour')",
        [technician],
    )
    # Applied has a time of its own, which test_an_applied_run_… looks at.
    for table, machine, states in (
        ("hs.route_plan", ROUTE, ROUTE.keys()),
        ("hs.optimization_run", RUN, RUN.keys() - {"applied"}),
    ):
        for before in states:
            for after in states - {before}:
                allowed = may_become(app, table, before, after)
                assert allowed == (after in machine[before]), (table, before, after)


def test_positions_are_kept_as_they_were(app: Connection, technician: UUID) -> None:
    app.execute(
        "INSERT INTO hs.technician_position (business_id, technician_id, latitude, longitude)"
        f" VALUES ({TENANT}, %s, 41, -87)",
        [technician],
    )
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation):
        app.execute("UPDATE hs.technician_position SET latitude = 42")
