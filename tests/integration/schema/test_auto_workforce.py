"""Certificates are mirrored and watched, shifts do not overlap, broken equipment stands still."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

STATUSES = {
    "off": {"available", "on_job", "waiting"},
    "available": {"on_job", "waiting", "break", "off"},
    "on_job": {"available", "waiting", "break", "off"},
    "waiting": {"available", "on_job", "break", "off"},
    "break": {"available", "on_job", "waiting"},
}
SHIFTS: dict[str, set[str]] = {
    "planned": {"published", "worked", "absent", "cancelled"},
    "published": {"planned", "worked", "absent", "cancelled"},
    "worked": {"absent"},
    "absent": {"worked"},
    "cancelled": set(),
}
CERTIFICATES: dict[str, set[str]] = {
    "pending": {"valid", "revoked"},
    "valid": {"expiring", "expired", "revoked"},
    "expiring": {"valid", "expired", "revoked"},
    "expired": {"valid"},
    "revoked": set(),
}
MACHINES = [
    (table, column, machine, origin, target)
    for table, column, machine in (
        ("technician", "dispatch_status", STATUSES),
        ("technician_shift", "status", SHIFTS),
        ("technician_certification", "status", CERTIFICATES),
    )
    for origin, target in permutations(machine, 2)
]
WAYS = {
    ("dispatch_status", "on_job"): ["on_job"],
    ("dispatch_status", "waiting"): ["waiting"],
    ("dispatch_status", "break"): ["available", "break"],
    ("dispatch_status", "available"): ["available"],
    ("status", "expiring"): ["valid", "expiring"],
    ("status", "expired"): ["valid", "expired"],
}


@pytest.mark.parametrize(("table", "column", "machine", "origin", "target"), MACHINES)
def test_a_state_goes_its_way(
    app: Connection,
    table: str,
    column: str,
    machine: dict[str, set[str]],
    origin: str,
    target: str,
) -> None:
    given = {"verified_at": "2026-01-01"} if table == "technician_certification" else {}
    first = next(iter(machine))
    made = row(app, f"auto.{table}", **{column: first}, **given)

    def move(state: str) -> None:
        app.execute(
            f"UPDATE auto.{table} SET {column} = %s WHERE {table}_id = %s",
            [state, made],
        )

    for step in [] if origin == first else WAYS.get((column, origin), [origin]):
        move(step)
    if target in machine[origin]:
        move(target)
        return
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(target)


def flags(app: Connection) -> Any:
    return app.execute("SELECT is_609_certified, is_hv_qualified FROM auto.technician").fetchone()


def certify(app: Connection, person: UUID, program: str, **given: Any) -> UUID:
    values = {"status": "valid", "verified_at": "2026-01-01", **given}
    return row(
        app, "auto.technician_certification", technician_id=person, program=program, **values
    )


def test_certificates_are_mirrored(app: Connection) -> None:
    person = row(app, "auto.technician")
    pending = certify(app, person, "epa_609", status="pending")
    assert flags(app) == (False, False)
    high_voltage = certify(app, person, "ev_hv")
    app.execute("UPDATE auto.technician_certification SET status = 'valid'")
    assert flags(app) == (True, True)
    app.execute(
        "UPDATE auto.technician_certification SET status = 'revoked'"
        " WHERE technician_certification_id = %s",
        [pending],
    )
    assert flags(app) == (False, True)
    app.execute(
        "DELETE FROM auto.technician_certification WHERE technician_certification_id = %s",
        [high_voltage],
    )
    assert flags(app) == (False, False)


def test_certificates_about_to_lapse_are_watched(app: Connection) -> None:
    person = row(app, "auto.technician")
    (today,) = app.execute("SELECT tenant_mgmt.today()").fetchone() or (None,)
    for days in (-1, 90, 91):
        (day,) = app.execute("SELECT %s::date + %s", [today, days]).fetchone() or (None,)
        certify(app, person, "oem", expires_on=day)
    certify(app, person, "oem", expires_on=today, status="pending")
    app.execute(
        "UPDATE auto.technician_certification SET status = 'revoked' WHERE expires_on = %s",
        [today],
    )
    assert app.execute(
        "SELECT lapses_on - tenant_mgmt.today() FROM auto.v_certificate_watch"
        " WHERE holder_kind = 'technician' ORDER BY 1"
    ).fetchall() == [(-1,), (90,)]


def test_shifts_of_a_technician_do_not_overlap(app: Connection) -> None:
    person = row(app, "auto.technician")
    first = row(app, "auto.technician_shift", technician_id=person)
    with pytest.raises(errors.ExclusionViolation), app.transaction():
        row(app, "auto.technician_shift", technician_id=person)
    app.execute(
        "UPDATE auto.technician_shift SET status = 'cancelled' WHERE technician_shift_id = %s",
        [first],
    )
    assert row(app, "auto.technician_shift", technician_id=person)


def test_an_absence_produces_nothing(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="absence_produces_nothing"):
        row(app, "auto.technician_shift", shift_kind="sick", productive_hours=8)


def test_equipment_stands_still_until_every_failure_is_repaired(app: Connection) -> None:
    machine = row(app, "auto.shop_equipment", status="in_service")

    def status() -> Any:
        return app.execute("SELECT status FROM auto.shop_equipment").fetchone()

    row(app, "auto.equipment_inspection", shop_equipment_id=machine, result="pass")
    assert status() == ("in_service",)
    failed = [
        row(app, "auto.equipment_inspection", shop_equipment_id=machine, result="fail")
        for _ in range(2)
    ]
    seen = [status()]
    for one in failed:
        app.execute(
            "UPDATE auto.equipment_inspection SET repaired_on = inspected_on + 1"
            " WHERE equipment_inspection_id = %s",
            [one],
        )
        seen.append(status())
    assert seen == [("out_of_service",), ("out_of_service",), ("in_service",)]
