"""A view runs with its owner's rights unless it is told otherwise; a materialized view holds the
rows of all tenants."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql

from checks.attempt import (
    Outcome,
    Session,
    as_application,
    first,
    judge,
    unless_closed,
    verdict_of,
)
from checks.ground import Ground
from harness.catalog.model import Name, View
from harness.db import is_lost
from harness.run import ProbeResult

_COLUMNS = """
SELECT n.nspname, c.relname FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND a.attname = %s AND NOT a.attisdropped
"""
_FOREIGN = (
    "SELECT count(*) FROM (SELECT 1 FROM {view} WHERE {tenant} IS DISTINCT FROM {own} LIMIT 100)"
)
_OTHERS = "SELECT count(*) FROM (SELECT 1 FROM {view} WHERE {tenant} = {other} LIMIT 100)"
_OWN = "SELECT count(*) FROM (SELECT 1 FROM {view} WHERE {tenant} = {own} LIMIT 100)"
_ANY = "SELECT count(*) FROM (SELECT 1 FROM {view} LIMIT 100)"


def survey(ground: Ground) -> Iterator[ProbeResult]:
    column = ground.settings.tenancy.column
    with_tenant = {Name(*row) for row in ground.admin.execute(_COLUMNS, [column]).fetchall()}
    for view in ground.catalog.views.values():
        look = _look if view.name in with_tenant else _look_without_tenant
        outcome = judge(partial(look, ground, view))
        yield ProbeResult(str(view.name), "view", verdict_of(outcome), outcome.detail)


def _look(ground: Ground, view: View) -> Outcome:
    """A cluster cannot plan every view for the rows of all, some for those of no tenant: nobody
    can ask for them then, and what they would show is seen on the tenant's node."""
    ways = [_through_the_view, *([_of_the_other, _on_the_node] if ground.nodes else [])]
    for way in ways[:-1]:
        try:
            return way(ground, view)
        except errors.InsufficientPrivilege:
            raise
        except psycopg.Error as error:
            if is_lost(error):
                raise
    return ways[-1](ground, view)


def _through_the_view(ground: Ground, view: View) -> Outcome:
    return _shown(ground, view, _FOREIGN, _ANY)


def _of_the_other(ground: Ground, view: View) -> Outcome:
    return _shown(ground, view, _OTHERS, _OWN)


def _shown(ground: Ground, view: View, others: LiteralString, own: LiteralString) -> Outcome:
    name, admin = view.name.identifier, Session(ground.admin, ground.settings.tenancy)
    if foreign := _count(ground.wire, others, ground, name):
        return Outcome(True, f"shows {foreign} rows of another tenant")
    own_rows = _count(admin, own, ground, name)
    return Outcome(False, "shows own rows only" if own_rows else "empty for this tenant")


def _on_the_node(ground: Ground, view: View) -> Outcome:
    """As whoever asks, for that is who reads shards, whosever the view is."""
    assert ground.nodes  # noqa: S101 - there are
    admin, query = ground.nodes.query(view.query)
    with as_application(admin, ground.settings) as session:
        foreign = _count(session, _FOREIGN, ground, sql.SQL(f"({query}) AS it"))
    how = "by shards, for Citus answers it to nobody"
    return Outcome(foreign > 0, f"shows {foreign} rows of another tenant, {how}")


def _look_without_tenant(ground: Ground, view: View) -> Outcome:
    """Without the tenant among its columns all that can be told is whether it fails closed."""

    def look() -> Outcome:
        with ground.wire.transaction(None) as connection:
            query = sql.SQL("SELECT FROM {} LIMIT 1").format(view.name.identifier)
            rows = connection.execute(query).rowcount
        return Outcome(rows > 0, f"shows {rows} rows without a tenant")

    return unless_closed(look)


def _count(session: Session, statement: LiteralString, ground: Ground, view: sql.Composable) -> int:
    parts: dict[str, Any] = {
        "view": view,
        "tenant": sql.Identifier(ground.settings.tenancy.column),
        "own": sql.Literal(ground.own),
        "other": sql.Literal(ground.other),
    }
    with session.transaction(ground.own) as connection:
        return int(first(connection, sql.SQL(statement).format(**parts)))
