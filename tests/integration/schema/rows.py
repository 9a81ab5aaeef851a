"""Rows for tests: what a test does not care about is made up, with the parents that it needs.

`row(connection, "auto.bay", bay_code="3")` inserts a bay for the current tenant: columns that are
given stand, a required column gets a value of its type or the first of its closed list, a required
reference gets a row of its own. Where a CHECK or UNIQUE asks for more, a module of usual/ says in
USUAL what a row of a table usually holds: a text with {n} or a count is another one for each row,
... is a reference that a row may lack and usually has.
"""

from __future__ import annotations

import itertools
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any
from uuid import UUID

from psycopg import sql

from harness.db import Connection
from tests.integration.schema import usual

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A table's required columns with their types, its parents by column, its closed lists."""

    required: tuple[tuple[str, str], ...]
    parents: dict[str, str]
    lists: dict[str, str]
    """The first value of each column with a CHECK (column IN (…))."""


_shapes: dict[str, _Shape] = {}

_COLUMNS = """
    SELECT a.attname, coalesce(d.typname, t.typname)
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_type AS d ON d.oid = t.oid AND t.typtype = 'd'
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
    ORDER BY a.attnum"""

_PARENTS = """
    SELECT (SELECT a.attname FROM pg_attribute AS a
            WHERE a.attrelid = c.conrelid AND a.attnum = c.conkey[2]),
           c.confrelid::regclass::text
    FROM pg_constraint AS c
    WHERE c.conrelid = %s::regclass AND c.contype = 'f' AND cardinality(c.conkey) = 2"""

_LISTS = """
    SELECT pg_get_constraintdef(c.oid)
    FROM pg_constraint AS c
    WHERE c.conrelid = %s::regclass AND c.contype = 'c' AND cardinality(c.conkey) = 1"""

_VALUES: dict[str, Any] = {
    "timestamptz": "2026-05-04 10:00+00",
    "date": "2026-05-04",
    "time": "10:00",
    "boolean": False,
    "bool": False,
    "jsonb": "{}",
    "json_object": "{}",
    "json_array": "[]",
    "country": "US",
    "region": "IL",
    "currency": "USD",
    "locale": "en-US",
    "time_zone": "America/Chicago",
    "postal_code": "60601",
    "media_type": "image/png",
    "sha256": b"\x00" * 32,
    "inet": "127.0.0.1",
    "tstzrange": "[2026-05-04 10:00+00,2026-05-04 11:00+00)",
}
_TEXTS = {
    "email": "somebody{}@example.com",
    "phone": "+1312555{:04}",
    "url": "https://example.com/{}",
    "slug": "some-{}",
    "code": "C{}",
    "person_name": "Somebody {}",
    "text": "text {}",
    "vault_ref": "vault:somewhere/{}",
}


def row(connection: Connection, table: str, **given: Any) -> UUID:
    """Inserts a row of the current tenant and returns the second column of its key."""
    given = _with_parents(connection, table, {**_usual(table), **given})
    values = {**_made_up(connection, table, given), **given}
    key = f"{table.split('.')[1]}_id"
    statement = sql.SQL(
        "INSERT INTO {table} (business_id, {columns})"
        " VALUES (tenant_mgmt.current_business_id(), {values}) RETURNING {key}"
    ).format(
        table=sql.Identifier(*table.split(".")),
        columns=sql.SQL(", ").join(map(sql.Identifier, values)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(values)),
        key=sql.Identifier(key),
    )
    found = connection.execute(statement, list(values.values())).fetchone()
    assert found
    return UUID(str(found[0]))


def imported(connection: Connection, table: str, **given: Any) -> UUID:
    """A row as history brings it, in any state: written by whoever bypasses row security."""
    connection.execute("RESET ROLE")
    made = row(connection, table, **given)
    connection.execute("SET LOCAL ROLE app_user")
    return made


def _with_parents(connection: Connection, table: str, given: dict[str, Any]) -> dict[str, Any]:
    if ... not in given.values():
        return given
    parents: dict[str, str] = dict(connection.execute(_PARENTS, [table]).fetchall())
    return {c: row(connection, parents[c]) if v is ... else v for c, v in given.items()}


def _usual(table: str) -> dict[str, Any]:
    return {
        column: next(value) if isinstance(value, itertools.count) else _numbered(value)
        for column, value in _all_usual().get(table, {}).items()
    }


@cache
def _all_usual() -> dict[str, dict[str, Any]]:
    names = [module.name for module in pkgutil.iter_modules(usual.__path__, f"{usual.__name__}.")]
    return {t: row for name in names for t, row in import_module(name).USUAL.items()}


def _numbered(value: Any) -> Any:
    """{n} is another number each time, {x} one that letters make shorter."""
    if not isinstance(value, str):
        return value
    number = next(_serial)
    return value.replace("{n}", str(number)).replace("{x}", f"{number:X}")


def _made_up(connection: Connection, table: str, given: dict[str, Any]) -> dict[str, Any]:
    shape = _shape(connection, table)
    made: dict[str, Any] = {}
    for column, kind in shape.required:
        if column == "business_id" or column in given:
            continue
        if column in shape.parents:
            made[column] = row(connection, shape.parents[column])
        else:
            made[column] = shape.lists.get(column) or _value(kind)
    return made


def _shape(connection: Connection, table: str) -> _Shape:
    """What the catalog says of a table: asked once, every test finds the same schema."""
    if table not in _shapes:
        required, parents, checks = (
            connection.execute(query, [table]).fetchall() for query in (_COLUMNS, _PARENTS, _LISTS)
        )
        lists = dict(found for (text,) in checks if (found := _first_of_list(text)))
        _shapes[table] = _Shape(tuple(required), dict(parents), lists)
    return _shapes[table]


def _first_of_list(check: str) -> tuple[str, str] | None:
    found = re.match(r"CHECK \(\(\(?(\w+)\)? = ANY \(ARRAY\['([^']*)'", check)
    return (found[1], found[2]) if found else None


def _value(kind: str) -> Any:
    if kind in _TEXTS:
        return _TEXTS[kind].format(next(_serial))
    if kind.startswith("_"):
        return []
    return _VALUES.get(kind, 1)
