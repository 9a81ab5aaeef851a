"""Crews are bounded, certificates lapse, capacity is shifts less absences."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_organization import add_branch, add_unit, one


def add_technician(connection: Connection, number: str = "T1") -> UUID:
    """A technician of a unit and branch, made where there are none."""
    branch = one(connection, "SELECT branch_id FROM hs.branch") or add_branch(connection)
    unit = one(connection, "SELECT business_unit_id FROM hs.business_unit") or add_unit(
        connection, branch
    )
    found: UUID = one(
        connection,
        "INSERT INTO hs.technician (business_id, business_unit_id, branch_id, employee_number,"
        " full_name, hired_on) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, 'Ada',"
        " '2020-01-01') RETURNING technician_id",
        unit,
        branch,
        number,
    )
    return found


@pytest.fixture
def technician(app: Connection) -> UUID:
    """A technician of the tenant."""
    return add_technician(app)


@pytest.fixture
def crew(app: Connection, technician: UUID) -> UUID:
    """A crew for two."""
    found: UUID = one(
        app,
        "INSERT INTO hs.crew (business_id, business_unit_id, crew_code, name, max_member_count,"
        " starts_on) SELECT business_id, business_unit_id, 'A', 'Install A', 2, '2020-01-01'"
        " FROM hs.business_unit RETURNING crew_id",
    )
    return found


def join(connection: Connection, crew: UUID, technician: UUID, split: int = 50) -> None:
    connection.execute(
        "INSERT INTO hs.crew_member (business_id, crew_id, technician_id, split_pct, joined_on)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, '2026-01-01')",
        [crew, technician, split],
    )


def test_a_crew_shares_no_more_than_there_is(app: Connection, crew: UUID, technician: UUID) -> None:
    join(app, crew, technician, 60)
    join(app, crew, other := add_technician(app, "T2"), 40)
    with pytest.raises(errors.CheckViolation, match="pay out 101"):
        app.execute("UPDATE hs.crew_member SET split_pct = 41 WHERE technician_id = %s", [other])


def test_a_crew_has_no_more_members_than_it_takes(
    app: Connection, crew: UUID, technician: UUID
) -> None:
    for split, member in enumerate((technician, add_technician(app, "T2"))):
        join(app, crew, member, split)
    with pytest.raises(errors.CheckViolation, match="would have 3 members of 2"):
        join(app, crew, add_technician(app, "T3"), 1)


def test_who_left_makes_room(app: Connection, crew: UUID, technician: UUID) -> None:
    join(app, crew, technician, 100)
    app.execute("UPDATE hs.crew_member SET left_on = '2026-02-01'")
    join(app, crew, add_technician(app, "T2"), 100)


def test_a_technician_is_in_one_crew_at_a_time(
    app: Connection, crew: UUID, technician: UUID
) -> None:
    join(app, crew, technician, 10)
    with pytest.raises(errors.ExclusionViolation, match="crew_member_in_one_crew_at_a_time"):
        join(app, crew, technician, 10)


def test_who_is_gone_is_not_sent(app: Connection, technician: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="technician_gone_is_not_sent"):
        app.execute("UPDATE hs.technician SET terminated_on = '2026-01-01'")


@pytest.mark.parametrize(
    ("level", "proficiency"),
    [(1, "trainee"), (2, "competent"), (3, "proficient"), (4, "expert"), (5, "expert")],
)
def test_proficiency_follows_the_level(
    app: Connection, technician: UUID, level: int, proficiency: str
) -> None:
    skill = one(
        app,
        "INSERT INTO hs.skill (business_id, skill_code, name, trade, category) VALUES"
        " (tenant_mgmt.current_business_id(), 'ac', 'AC', 'hvac', 'repair') RETURNING skill_id",
    )
    assert proficiency == one(
        app,
        "INSERT INTO hs.technician_skill (business_id, technician_id, skill_id, level_no,"
        " acquired_on) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, '2020-01-01')"
        " RETURNING proficiency",
        technician,
        skill,
        level,
    )


def certify(
    connection: Connection, technician: UUID, ends_in: int | None, number: str = "1"
) -> None:
    """A valid certificate that ends so many days from today, of a kind with 60 days' lead."""
    connection.execute(
        "INSERT INTO hs.certification_type (business_id, certification_code, name, issuing_body,"
        " regime, is_mandatory_for_dispatch) VALUES (tenant_mgmt.current_business_id(), 'GAS',"
        " 'Gas', 'State', 'gas_fitting', true) ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "INSERT INTO hs.technician_certification (business_id, technician_id,"
        " certification_type_id, certificate_number, status, verified_at, verification_method,"
        " issued_on, expires_on) SELECT t.business_id, %s, t.certification_type_id, %s, 'valid',"
        " now(), 'card', current_date - 900, current_date + %s::integer"
        " FROM hs.certification_type AS t",
        [technician, number, ends_in],
    )


@pytest.mark.parametrize(
    ("ends_in", "status"),
    [(61, "valid"), (60, "expiring"), (1, "expiring"), (0, "expired"), (None, "valid")],
)
def test_a_certificate_lapses_as_its_end_comes(
    app: Connection, technician: UUID, ends_in: int | None, status: str
) -> None:
    certify(app, technician, ends_in)
    assert one(app, "SELECT hs.expire_certificates()") == int(status != "valid")
    assert one(app, "SELECT status FROM hs.technician_certification") == status
    assert one(app, "SELECT hs.expire_certificates()") == 0, "once"


def test_the_watch_tells_who_cannot_be_sent_any_more(app: Connection, technician: UUID) -> None:
    certify(app, technician, 10)
    watch = "SELECT days_left, stops_dispatch FROM hs.v_certification_watch ORDER BY 1"
    assert app.execute(watch.encode()).fetchall() == [(10, True)]
    certify(app, technician, 20, "2")
    assert app.execute(watch.encode()).fetchall() == [(10, False), (20, True)]
    certify(app, technician, None, "3")
    assert app.execute(watch.encode()).fetchall() == [(10, False), (20, False)]


CERTIFICATION = {
    "pending": {"valid", "revoked"},
    "valid": {"expiring", "expired", "revoked"},
    "expiring": {"valid", "expired", "revoked"},
    "expired": {"valid"},
    "revoked": set(),
}
SHIFT = {
    "planned": {"published", "cancelled"},
    "published": {"worked", "no_show", "cancelled"},
    "worked": set(),
    "no_show": {"worked"},
    "cancelled": set(),
}
ABSENCE = {
    "requested": {"approved", "declined", "cancelled"},
    "approved": {"cancelled"},
    "declined": {"approved"},
    "cancelled": set(),
}


def plan(connection: Connection, technician: UUID, starts: str, ends: str, **given: Any) -> None:
    """A published shift on 2026-01-05."""
    connection.execute(
        "INSERT INTO hs.technician_shift (business_id, technician_id, shift_on, starts_at,"
        " ends_at, break_minutes, status, shift_kind, on_call_rank) VALUES"
        " (tenant_mgmt.current_business_id(), %s, '2026-01-05', %s, %s, %s, 'published', %s, %s)",
        [
            technician,
            f"2026-01-05 {starts}+00",
            f"2026-01-05 {ends}+00",
            given.get("rest", 60),
            given.get("kind", "regular"),
            given.get("rank"),
        ],
    )


def be_away(connection: Connection, technician: UUID, starts: str, ends: str) -> None:
    """An approved absence on 2026-01-05."""
    connection.execute(
        "INSERT INTO hs.technician_absence (business_id, technician_id, absence_kind, starts_at,"
        " ends_at, requested_at) VALUES (tenant_mgmt.current_business_id(), %s, 'sick', %s, %s,"
        " '2026-01-01')",
        [technician, f"2026-01-05 {starts}+00", f"2026-01-05 {ends}+00"],
    )
    connection.execute(
        "UPDATE hs.technician_absence SET status = 'approved', decided_at = now()"
        " WHERE status = 'requested'"
    )


@pytest.mark.parametrize(
    ("absence", "minutes"),
    [
        (None, 480),
        (("08:00", "10:00"), 360),
        (("06:00", "08:00"), 420),
        (("00:00", "23:00"), 0),
        (("16:00", "20:00"), 480),
    ],
)
def test_capacity_is_the_shift_less_break_and_absence(
    app: Connection, technician: UUID, absence: tuple[str, str] | None, minutes: int
) -> None:
    plan(app, technician, "07:00", "16:00")
    if absence:
        be_away(app, technician, *absence)
    assert one(app, "SELECT hs.free_minutes(%s, '2026-01-05')", technician) == minutes


def test_stand_by_is_not_sold(app: Connection, technician: UUID) -> None:
    plan(app, technician, "07:00", "16:00", kind="on_call", rank=1)
    assert one(app, "SELECT hs.free_minutes(%s, '2026-01-05')", technician) == 0


def test_shifts_of_one_technician_do_not_overlap(app: Connection, technician: UUID) -> None:
    plan(app, technician, "07:00", "12:00")
    plan(app, technician, "12:00", "16:00")
    with pytest.raises(errors.ExclusionViolation, match="technician_shift_one_at_a_time"):
        plan(app, technician, "11:59", "13:00", rest=0)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"ends": "00:30"}, "technician_shift_break_within"),
        ({"ends": "17:01"}, "technician_shift_not_too_long"),
        ({"ends": "02:00", "rest": 60}, "technician_shift_break_within"),
        ({"ends": "09:00", "kind": "on_call"}, "technician_shift_rank_of_on_call"),
        ({"ends": "09:00", "rank": 1}, "technician_shift_rank_of_on_call"),
    ],
)
def test_a_shift_is_bounded(
    app: Connection, technician: UUID, given: dict[str, Any], truth: str
) -> None:
    ends = given.pop("ends")
    with pytest.raises(errors.CheckViolation, match=truth):
        plan(app, technician, "01:00", ends, **given)


@pytest.mark.parametrize(
    ("table", "transitions"),
    [
        ("technician_certification", CERTIFICATION),
        ("technician_shift", SHIFT),
        ("technician_absence", ABSENCE),
    ],
)
def test_the_state_machine_refuses_every_other_transition(
    app: Connection, technician: UUID, table: str, transitions: dict[str, set[str]]
) -> None:
    certify(app, technician, 90)
    plan(app, technician, "07:00", "16:00")
    be_away(app, technician, "08:00", "09:00")
    for before in transitions:
        for after in transitions.keys() - {before}:
            allowed = may_become(app, f"hs.{table}", before, after)
            assert allowed == (after in transitions[before]), (before, after)


def may_become(connection: Connection, table: str, before: str, after: str) -> bool:
    """Whether the rows, put into a state without triggers, may be moved on to another."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("RESET ROLE")
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(f"UPDATE {table} SET status = %s".encode(), [before])
            connection.execute("SET LOCAL session_replication_role = origin")
            connection.execute(f"UPDATE {table} SET status = %s".encode(), [after])
    except errors.CheckViolation as error:
        if "cannot become" not in str(error):
            raise
        return False
    return True
