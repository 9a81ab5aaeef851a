"""A trigger that acts with its owner's rights writes what belongs to another tenant into the row of
whoever writes.

A row of the own tenant is changed, and removed and added again, as the application; if what is
then in it is different once the other tenant's rows were removed, the trigger told of them. All of
it is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import psycopg
from psycopg import errors, sql

from checks.attempt import Session, Subject
from checks.foreign_keys import let_go
from checks.ground import Ground
from checks.removal import Change, Removal, Told
from harness.catalog.model import Name
from harness.run import ProbeResult

_DEFINERS = """
SELECT DISTINCT n.nspname, c.relname, p.proname FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND p.prosecdef AND n.nspname = ANY (%s) ORDER BY 1, 2, 3
"""
_FIRE = sql.SQL("SET LOCAL session_replication_role = origin")
_CHANGE = (
    "UPDATE {table} AS it SET {tenant} = {tenant} WHERE {own_row} RETURNING to_jsonb(it)::text"
)
_AGAIN = (
    "WITH gone AS (DELETE FROM {table} WHERE {own_row} RETURNING *)"
    " INSERT INTO {table} AS it ({tenant}{columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {tenant}{columns} FROM gone RETURNING to_jsonb(it)::text"
)


def survey(ground: Ground) -> Iterator[ProbeResult]:
    found = ground.admin.execute(_DEFINERS, [list(ground.catalog.schemas)]).fetchall()
    known, removal = {s.table.name: s for s in ground.subjects()}, Removal(ground)
    for schema, table, function in found:
        if subject := known.get(Name(schema, table)):
            yield _result(removal, subject, function)
    if not found:
        told = "no trigger acts with its owner's rights"
        yield ProbeResult(ground.name, "trigger", "held", told)


def _result(removal: Removal, subject: Subject, function: str) -> ProbeResult:
    admin, there = removal.ground.place_of(subject)
    before = [*let_go(admin, there), _FIRE]
    changes = [
        removal.changes(function, partial(_written, there, statement), before)
        for statement in (there.compose(_CHANGE), there.compose(_AGAIN))
    ]
    told = next((change.told for change in changes if change.told), None)
    name = str(subject.table.name)
    if told:
        return ProbeResult(name, "trigger", "leak", f"the trigger of {function} {told}")
    return _without_a_leak(name, function, changes)


def _without_a_leak(table: str, function: str, changes: list[Change]) -> ProbeResult:
    if any(change.proved for change in changes):
        told = f"{function} writes the same without the rows of the other tenant"
        return ProbeResult(table, "trigger", "held", told)
    return ProbeResult(table, "trigger", "noted", f"what {function} writes could not be compared")


def _written(subject: Subject, statement: sql.Composed, session: Session) -> Told | None:
    """What is in the row afterwards."""
    try:
        with session.transaction(subject.own) as connection:
            return Told(tuple(row for (row,) in connection.execute(statement).fetchall()))
    except errors.QueryCanceled:
        return None
    except psycopg.Error as error:
        return Told((f"{error.sqlstate} {error.diag.message_primary}",), failed=True)
