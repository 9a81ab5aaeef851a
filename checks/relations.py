"""Ways around a table's row security: its partitions, views and materialized views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

from psycopg import errors, sql

from checks.attempt import Outcome, Session, judge
from harness.catalog.model import Catalog, Table, View
from harness.config import Settings
from harness.db import Connection
from harness.run import ProbeResult

_READABLE = "SELECT has_any_column_privilege(%s, to_regclass(%s), 'SELECT, INSERT, UPDATE')"
_FOREIGN = "SELECT count(*) FROM (SELECT FROM {view} WHERE {tenant} IS DISTINCT FROM %s LIMIT 100)"
_ANY = "SELECT count(*) FROM (SELECT FROM {view} LIMIT 100)"


def check_partitions(
    admin: Connection, catalog: Catalog, settings: Settings
) -> Iterator[ProbeResult]:
    """A partition is reached by its own name, past the policy of its parent.

    It is held when it has forced row security of its own or the application may not touch it.
    """
    partitions = [table for table in catalog.tables.values() if table.partition_of is not None]
    parents = dict.fromkeys(table.partition_of for table in partitions)
    for parent in parents:
        children = [table for table in partitions if table.partition_of == parent]
        open_ones = [str(t.name) for t in children if _is_open(admin, t, settings)]
        detail = f"open by name: {', '.join(open_ones)}" if open_ones else f"{len(children)} closed"
        yield ProbeResult(str(parent), "partitions", "leak" if open_ones else "held", detail)


def check_views(
    admin: Connection, app: Connection, catalog: Catalog, settings: Settings, tenants: Any
) -> Iterator[ProbeResult]:
    """A view or materialized view shows one tenant the rows of another."""
    for view in catalog.views.values():
        outcome = judge(lambda view=view: _look(admin, app, view, settings, tenants))  # type: ignore[misc]
        verdict = {True: "leak", False: "held", None: "error"}[outcome.crossed]
        yield ProbeResult(str(view.name), "view", verdict, outcome.detail)  # type: ignore[arg-type]


def _is_open(admin: Connection, partition: Table, settings: Settings) -> bool:
    if partition.row_security and partition.force_row_security and partition.policies:
        return False
    row = admin.execute(_READABLE, [settings.roles.app, str(partition.name)]).fetchone()
    return bool(row and row[0])


def _look(
    admin: Connection, app: Connection, view: View, settings: Settings, tenants: Any
) -> Outcome:
    own = tenants[0]
    session = Session(app, settings.tenancy)
    if not _has_tenant_column(admin, view, settings):
        return _look_without_tenant(session, view)
    with session.transaction(own) as connection:
        foreign = _count(connection, _FOREIGN, view, settings, [own])
    if foreign:
        return Outcome(True, f"shows {foreign} rows of another tenant")
    with Session(admin, settings.tenancy).transaction(own) as connection:
        own_rows = _count(connection, _ANY, view, settings, [])
    return Outcome(False, "shows own rows only" if own_rows else "empty for this tenant")


def _look_without_tenant(session: Session, view: View) -> Outcome:
    """Without the tenant among its columns all that can be told is whether it fails closed."""
    try:
        with session.transaction(None) as connection:
            rows = connection.execute(
                sql.SQL("SELECT FROM {} LIMIT 1").format(view.name.identifier)
            ).rowcount
    except (errors.UndefinedObject, errors.InvalidTextRepresentation):
        return Outcome(False, "fails closed without a tenant")
    return Outcome(rows > 0, f"shows {rows} rows without a tenant")


def _has_tenant_column(admin: Connection, view: View, settings: Settings) -> bool:
    row = admin.execute(
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s)"
        " AND attname = %s AND NOT attisdropped)",
        [str(view.name), settings.tenancy.column],
    ).fetchone()
    return bool(row and row[0])


def _count(
    connection: Connection,
    statement: LiteralString,
    view: View,
    settings: Settings,
    values: list[Any],
) -> int:
    query = sql.SQL(statement).format(
        view=view.name.identifier, tenant=sql.Identifier(settings.tenancy.column)
    )
    row = connection.execute(query, values).fetchone()
    return int(row[0]) if row else 0
