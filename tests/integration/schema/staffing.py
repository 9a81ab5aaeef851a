"""Somebody with a job, for tests of payroll: an employer, a place, a job, a rate and a period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from harness.db import Connection
from tests.integration.schema.rows import row

MONDAY = "2026-05-04"
KINDS = {"regular": 1, "overtime": 1.5, "doubletime": 2, "holiday": 1, "pto": 1, "premium": 1}


@dataclass(frozen=True)
class Hire:
    """Who was hired, with what a test may want to name."""

    employer: UUID
    place: UUID
    profile: UUID
    person: UUID
    job: UUID
    schedule: UUID


def hire(connection: Connection, *, place: dict[str, Any] | None = None, **job: Any) -> Hire:
    """An hourly employee since 2024 at a place in UTC, paid 20 an hour."""
    employer = row(connection, "payroll.employer_entity")
    site = row(
        connection,
        "payroll.work_location",
        **{"employer_entity_id": employer, "time_zone": "UTC", **(place or {})},
    )
    person = row(
        connection,
        "payroll.employee",
        employer_entity_id=employer,
        primary_work_location_id=site,
        status="active",
    )
    row(
        connection,
        "payroll.employment_spell",
        employee_id=person,
        employer_entity_id=employer,
        hired_on="2024-01-15",
    )
    profile = job.pop("job_profile_id", None) or row(connection, "payroll.job_profile")
    schedule = job.pop("work_schedule_id", None) or row(
        connection, "payroll.work_schedule", workweek_starts_on="monday", cycle_starts_on=MONDAY
    )
    columns = {
        "employee_id": person,
        "work_location_id": site,
        "job_profile_id": profile,
        "work_schedule_id": schedule,
        "is_primary": True,
        "effective_from": "2024-01-15",
        **job,
    }
    assignment = row(connection, "payroll.job_assignment", **columns)
    row(
        connection,
        "payroll.compensation_rate",
        job_assignment_id=assignment,
        effective_from="2024-01-15",
    )
    return Hire(employer, site, profile, person, assignment, schedule)


def period(
    connection: Connection,
    employer: UUID,
    first: str = MONDAY,
    last: str = "2026-05-10",
    frequency: str = "weekly",
) -> UUID:
    """A pay period of the employer's schedule, which is made once."""
    found = connection.execute(
        "SELECT pay_schedule_id FROM payroll.pay_schedule WHERE employer_entity_id = %s",
        [employer],
    ).fetchone()
    calendar = (
        found[0]
        if found
        else row(
            connection,
            "payroll.pay_schedule",
            employer_entity_id=employer,
            frequency=frequency,
            anchor_period_end="2026-05-10",
            funding_lead_business_days=2,
            is_active=True,
        )
    )
    return row(
        connection,
        "payroll.pay_period",
        pay_schedule_id=calendar,
        period_no=1,
        starts_on=first,
        ends_on=last,
        check_date=last,
    )


def earning_codes(connection: Connection) -> dict[str, UUID]:
    """A code for each kind of hours."""
    return {
        kind: row(
            connection,
            "payroll.earning_code",
            code=kind.upper(),
            earning_kind=kind,
            multiplier=multiplier,
            is_active=True,
        )
        for kind, multiplier in KINDS.items()
    }


def punch(connection: Connection, person: UUID, *punches: tuple[str, str], **given: Any) -> UUID:
    """Punches, each a kind and a moment; returns the last one."""
    made = None
    for kind, moment in punches:
        columns = {"punch_kind": kind, "punched_at": f"{moment}+00", "source": "import", **given}
        made = row(connection, "payroll.clock_punch", employee_id=person, **columns)
    assert made
    return made
