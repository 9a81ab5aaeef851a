"""A large object belongs to a role and has no tenant: under one role for all tenants each reads
what the others have stored. Keep the bytes in a column of type bytea."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from psycopg import sql

from checks.attempt import Outcome, Subject, first, judge, verdict_of
from checks.ground import Ground
from harness.run import ProbeResult

_TYPES = ("oid", "lo", "public.lo")
_STORED = (
    "SELECT {column}::oid FROM {table} WHERE {tenant} = {other}"
    " AND {column}::oid IN (SELECT oid FROM pg_largeobject_metadata) LIMIT 1"
)


def survey(ground: Ground) -> Iterator[ProbeResult]:
    columns = [
        (subject, column.name)
        for subject in ground.subjects()
        for column in subject.table.columns.values()
        if column.type in _TYPES
    ]
    for subject, column in columns:
        outcome = judge(partial(_get, ground, subject, column))
        name = str(subject.table.name)
        yield ProbeResult(name, "large_object", verdict_of(outcome), outcome.detail)
    if not columns:
        yield ProbeResult(ground.name, "large_object", "held", "no column refers to large objects")


def _get(ground: Ground, subject: Subject, column: str) -> Outcome:
    stored = first(ground.admin, subject.compose(_STORED, column=sql.Identifier(column)))
    if stored is None:
        return _get_what_the_other_makes(ground)
    with ground.wire.transaction(ground.own) as connection:
        first(connection, "SELECT lo_get(%s, 0, 1)", [stored])
    return Outcome(True, f"the large object in {column} of another tenant's row can be read")


def _get_what_the_other_makes(ground: Ground) -> Outcome:
    """Where there is none yet, one is made in a transaction that is rolled back."""
    with ground.wire.transaction(ground.other) as connection:
        made = first(connection, "SELECT lo_from_bytea(0, 'harness')")
        ground.wire.work_for(ground.own)
        first(connection, "SELECT lo_get(%s, 0, 1)", [made])
    return Outcome(True, "a large object that another tenant stores can be read")
