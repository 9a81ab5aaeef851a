"""Whether what a query shows one tenant stays with it: run as tenant A, as tenant B and as nobody.

Rows are told apart by the tenant column, where the query selects it, otherwise by canaries:
values that only rows of B hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from checks.attempt import Session
from harness.config import Tenancy
from harness.db import Connection, is_lost, one_line

_NAME = re.compile(r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?')
Params = Sequence[Any] | Mapping[str, Any] | None
Query = bytes | sql.Composed


@dataclass(frozen=True, slots=True)
class Shown:
    """What a session saw: rows, or the error that PostgreSQL raised."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Crossing:
    """What each of three sessions saw of the same query."""

    a: Shown
    b: Shown
    nobody: Shown
    left_over: Shown
    """A session without a tenant, on a connection that had one before."""


def role_above(connection: Connection) -> str | None:
    """The role that the connection acts as, where no policy binds it."""
    row = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"
    ).fetchone()
    return str(row[0]) if row else None


def query_of(text: str) -> Query:
    """The query of a text; a name is a table, of which all rows are asked."""
    if not _NAME.fullmatch(text.strip()):
        return text.encode()
    parts = [part.strip('"') for part in re.findall(r'"[^"]+"|[\w$]+', text)]
    return sql.SQL("SELECT * FROM {}").format(sql.Identifier(*parts))


def cross(session: Session, query: Query, params: Params, a: Any, b: Any) -> Crossing:
    """Runs the query in transactions that are rolled back, without a tenant first: a connection
    that had one never forgets it."""

    def shown(tenant: Any | None) -> Shown:
        return _shown(session, query, params, tenant)

    nobody = shown(None)
    return Crossing(a=shown(a), b=shown(b), nobody=nobody, left_over=shown(None))


def complaints(
    seen: Crossing, tenancy: Tenancy, a: Any, b: Any, canary: Collection[Any] = ()
) -> Iterator[str]:
    """What is wrong with what was seen, a sentence each; nothing where isolation was proven."""
    failed = [(n, s) for n, s in (("A", seen.a), ("B", seen.b)) if s.error]
    yield from (f"tenant {name} could not run it: {shown.error}" for name, shown in failed)
    if failed:
        return
    yield from _without_tenant(seen)
    if tenancy.column in seen.a.columns:
        yield from _by_column(seen, tenancy.column, a, b)
    elif canary:
        yield from _by_canary(seen, canary)
    else:
        yield (
            f"it shows no column {tenancy.column}, so rows cannot be told apart: select it too, or"
            " name with canary=… values that only rows of tenant B hold"
        )


def _without_tenant(seen: Crossing) -> Iterator[str]:
    for name, shown in (("", seen.nobody), (" after a tenant's was over", seen.left_over)):
        if shown.rows:
            yield f"a session without a tenant{name} sees {_counted(shown.rows)}"


def _by_column(seen: Crossing, column: str, a: Any, b: Any) -> Iterator[str]:
    for name, shown, own in (("A", seen.a, a), ("B", seen.b, b)):
        at = shown.columns.index(column)
        foreign = [row[at] for row in shown.rows if str(row[at]) != str(own)]
        if foreign:
            whose = ", ".join(sorted({"nobody" if t is None else str(t) for t in foreign})[:3])
            yield f"tenant {name} ({own}) sees {_counted(foreign)} of others: {column} {whose}"
        if len(foreign) == len(shown.rows):
            yield f"vacuous: tenant {name} ({own}) sees no row of its own; give both tenants rows"


def _by_canary(seen: Crossing, canary: Collection[Any]) -> Iterator[str]:
    wanted = {str(value) for value in canary}
    missing = sorted(wanted - _values(seen.b))
    if missing:
        yield f"vacuous: tenant B does not see its own canary {', '.join(missing)}"
    for value in sorted(wanted & _values(seen.a)):
        yield f"tenant A sees the canary {value} of tenant B"
    if not seen.a.rows:
        yield "vacuous: tenant A sees no row; give both tenants rows"


def _values(shown: Shown) -> set[str]:
    return {str(value) for row in shown.rows for value in row}


def _counted(rows: Collection[Any]) -> str:
    return f"{len(rows)} row{'s' if len(rows) != 1 else ''}"


def _shown(session: Session, query: Query, params: Params, tenant: Any | None) -> Shown:
    def read() -> Shown:
        with session.transaction(tenant) as connection, connection.cursor() as cursor:
            cursor.execute(query, params)
            columns = tuple(column.name for column in cursor.description or ())
            return Shown(columns, tuple(cursor.fetchall()) if columns else ())

    return _or_error(read)


def _or_error(read: Callable[[], Shown]) -> Shown:
    try:
        return read()
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return Shown(error=one_line(error))
