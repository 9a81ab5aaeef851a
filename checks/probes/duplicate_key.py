"""A key over all tenants tells one what another has: the value that another tenant uses is refused
as a duplicate, and with ON CONFLICT DO NOTHING silently inserts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject, as_application, first, judge, verdict_of
from checks.ground import Ground
from harness.run import ProbeResult

# The other tenant's row, stamped with the own tenant: nothing else of it can be known to collide.
_ROW = "SELECT it::text FROM {table} AS it WHERE {tenant} = {other} LIMIT 1"
_INSERT = (
    "INSERT INTO {table} ({tenant}{columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {own}{columns} FROM (SELECT (CAST({row} AS {table})).*) AS it"
)
_OWN_ROW = "DECLARE own_row CURSOR FOR SELECT FROM {table} WHERE {tenant} = {own}"
_CHANGE = (
    "UPDATE {table} SET ({key}) = (SELECT {key} FROM (SELECT (CAST({row} AS {table})).*) AS it)"
    " WHERE CURRENT OF own_row"
)
ACCEPTED = Outcome(False, "a value of another tenant is accepted")


def survey(ground: Ground) -> Iterator[ProbeResult]:
    keyed = [s for s in ground.subjects() if _keys_over_all(s)]
    for subject in keyed:
        yield _result(ground, subject)
    if not keyed:
        told = "every unique key of every table holds the tenant"
        yield ProbeResult(ground.name, "duplicate_key", "held", told)


def _keys_over_all(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Keys without the tenant, by name; of the root table each key is a tenant's own."""
    table = subject.table
    kinds = ("primary key", "unique", "exclude")
    keys = [(c.name, c.columns) for c in table.constraints if c.kind in kinds]
    indexes = [(index.name, index.columns) for index in table.indexes if index.unique]
    return {n: c for n, c in chain(keys, indexes) if subject.tenant_column not in c}


def _result(ground: Ground, subject: Subject) -> ProbeResult:
    name = str(subject.table.name)
    admin, there = ground.place_of(subject)
    with as_application(admin, ground.settings) as session:
        with session.as_admin():
            row = first(admin, there.compose(_ROW))
        if row is None:
            told = "the other tenant has no row whose value could be tried"
            return ProbeResult(name, "duplicate_key", "vacuous", told)
        outcome = judge(lambda: _collide(session, there, sql.Literal(row)))
    verdict = "noted" if outcome.vacuous else verdict_of(outcome, "weak")
    return ProbeResult(name, "duplicate_key", verdict, outcome.detail)


def _collide(session: Session, subject: Subject, row: sql.Literal) -> Outcome:
    """By a new row; where that cannot be, by changing a row that is there."""
    outcome = judge(lambda: _insert(session, subject, row))
    for columns in _keys_over_all(subject).values():
        if outcome.crossed or not set(columns) <= subject.table.columns.keys():
            break
        changed = judge(partial(_change, session, subject, row, columns))
        if changed.crossed or (outcome.vacuous and changed == ACCEPTED):
            outcome = changed
    return outcome


def _insert(session: Session, subject: Subject, row: sql.Literal) -> Outcome:
    with _told_of_keys(subject) as told, session.transaction(subject.own) as connection:
        connection.execute(subject.compose(_INSERT, row=row))
    return told[0] if told else ACCEPTED


def _change(
    session: Session, subject: Subject, row: sql.Literal, columns: tuple[str, ...]
) -> Outcome:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with _told_of_keys(subject) as told, session.transaction(subject.own) as connection:
        connection.execute(subject.compose(_OWN_ROW))
        if connection.execute("FETCH own_row").fetchone() is None:
            return Outcome(False, "the tenant has no row of its own to change", vacuous=True)
        connection.execute(subject.compose(_CHANGE, key=names, row=row))
    return told[0] if told else ACCEPTED


@contextmanager
def _told_of_keys(subject: Subject) -> Iterator[list[Outcome]]:
    """What the error of a constraint tells, if there is one."""
    keys, told = _keys_over_all(subject), list[Outcome]()
    try:
        yield told
    except (errors.UniqueViolation, errors.ExclusionViolation) as error:
        name = error.diag.constraint_name or ""
        columns = ", ".join(keys.get(name, ()))
        taken = Outcome(True, f"({columns}) of another tenant is refused as taken: {name}")
        first_refused = Outcome(False, f"a key of this tenant refused it first: {name}", True)
        told.append(taken if name in keys else first_refused)
    except errors.IntegrityError as error:
        detail = f"a constraint refused it first: {error.diag.message_primary}"
        told.append(Outcome(False, detail, vacuous=True))
