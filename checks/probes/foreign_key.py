"""A foreign key without the tenant lets a row refer to a row of another tenant, which it cannot
see: that the reference is accepted tells that the other row exists, and a cascade goes across."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject, judge, take_role, verdict_of
from checks.ground import Ground, tenant_column
from harness.catalog.model import Constraint
from harness.run import ProbeResult

_PARENT = "SELECT {referenced} FROM {parent} WHERE {parent_tenant} = {other} LIMIT 1"
_CHILD = "DECLARE own_row CURSOR FOR SELECT FROM {table} WHERE {tenant} = {own}"
_REFER = "UPDATE {table} SET ({columns}) = ROW ({values}) WHERE CURRENT OF own_row"
NO_PARENT = "the other tenant has no row to refer to"
NO_CHILD = "the tenant has no row that could refer"


def survey(ground: Ground) -> Iterator[ProbeResult]:
    crossing = [(s, key) for s in ground.subjects() for key in _without_tenant(ground, s)]
    for subject, key in crossing:
        yield _result(ground, subject, key)
    if not crossing:
        told = "every foreign key between tables of tenants holds the tenant"
        yield ProbeResult(ground.name, "foreign_key", "held", told)


def _without_tenant(ground: Ground, subject: Subject) -> Iterator[Constraint]:
    """Foreign keys that say nothing of the tenant and lead to a table that has one. Those to the
    root table from the tenant column are how a row says whose it is."""
    for key in subject.table.foreign_keys:
        parent = ground.catalog.tables.get(key.references) if key.references else None
        shared = ground.settings.tenancy.shares(key.references)
        if subject.tenant_column in key.columns or parent is None or shared:
            continue
        if tenant_column(parent, ground.settings.tenancy) is not None:
            yield key


def _result(ground: Ground, subject: Subject, key: Constraint) -> ProbeResult:
    outcome = judge(lambda: _refer(ground, subject, key))
    name = str(subject.table.name)
    if outcome.detail.endswith((NO_PARENT, NO_CHILD)):
        return ProbeResult(name, "foreign_key", "vacuous", outcome.detail)
    return ProbeResult(name, "foreign_key", verdict_of(outcome), outcome.detail)


def _refer(ground: Ground, subject: Subject, key: Constraint) -> Outcome:
    """Only PostgreSQL's own triggers of foreign keys are in the way."""
    admin, table = ground.admin, subject.table.name.identifier
    parts = _parts(ground, subject, key)
    with admin.transaction(force_rollback=True):
        parent = admin.execute(sql.SQL(_PARENT).format(**parts)).fetchone()
        if parent is None:
            return Outcome(False, NO_PARENT)
        admin.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
        admin.execute("SET LOCAL enable_indexonlyscan = off")
        take_role(admin, ground.settings.roles.app)
        outcome = _update(Session(admin, ground.settings.tenancy), subject, parts, parent)
    return Outcome(outcome.crossed, f"({', '.join(key.columns)}) {outcome.detail}")


def _update(
    session: Session, subject: Subject, parts: dict[str, Any], parent: tuple[Any, ...]
) -> Outcome:
    values = sql.SQL(", ").join(map(sql.Literal, parent))
    try:
        with session.transaction(subject.own) as connection:
            connection.execute(sql.SQL(_CHILD).format(**parts))
            if connection.execute("FETCH own_row").fetchone() is None:
                return Outcome(False, NO_CHILD)
            connection.execute(sql.SQL(_REFER).format(values=values, **parts))
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except errors.ForeignKeyViolation:
        return Outcome(False, "may not refer to a row of another tenant")
    except errors.IntegrityError as error:
        return Outcome(None, f"a constraint refused it first: {error.diag.message_primary}")
    return Outcome(True, "may refer to a row of another tenant")


def _parts(ground: Ground, subject: Subject, key: Constraint) -> dict[str, Any]:
    parent = ground.catalog.tables[key.references or subject.table.name]
    return {
        "table": subject.table.name.identifier,
        "tenant": sql.Identifier(subject.tenant_column),
        "columns": sql.SQL(", ").join(map(sql.Identifier, key.columns)),
        "own": sql.Literal(ground.own),
        "other": sql.Literal(ground.other),
        "parent": parent.name.identifier,
        "parent_tenant": sql.Identifier(tenant_column(parent, ground.settings.tenancy) or ""),
        "referenced": sql.SQL(", ").join(map(sql.Identifier, key.referenced_columns)),
    }
