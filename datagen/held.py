"""Rows that a table held before the fill, for those that refer to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from psycopg import sql

from datagen.generators import base_type
from datagen.kept import Kept, Needs
from datagen.plan import TablePlan
from datagen.values import Values, objects
from harness.catalog.model import Catalog, Column
from harness.db import Connection

MOST = 10_000
"""So many of them are referred to."""


def rows(connection: Connection, table: TablePlan, needs: Needs, catalog: Catalog) -> Kept:
    """The columns that other tables ask of the rows, in an order that does not change."""
    columns = [
        column
        for name in sorted(needs.get(table.name, ()))
        if (column := table.table.columns.get(name)) is not None
    ]
    wanted = [_selected(column, catalog) for column in columns]
    key = table.table.primary_key
    order = [sql.Identifier(name) for name in key.columns] if key else wanted
    query = sql.SQL("SELECT {} FROM {} ORDER BY {} LIMIT {}").format(
        sql.SQL(", ").join([sql.SQL("1"), *wanted]),
        table.name.identifier,
        sql.SQL(", ").join(order) if order else sql.SQL("1"),
        sql.Literal(MOST),
    )
    found = connection.execute(query).fetchall()
    made = zip(columns, list(zip(*found, strict=True))[1:], strict=True) if found else ()
    return Kept(len(found), {column.name: _values(column, v, catalog) for column, v in made})


def _selected(column: Column, catalog: Catalog) -> sql.Composable:
    """The column, or its text where its type has no values of its own here."""
    text = "{}" if base_type(column.type, catalog) in _READERS else "{}::text"
    return sql.SQL(text).format(sql.Identifier(column.name))


def _values(column: Column, found: tuple[Any, ...], catalog: Catalog) -> Values:
    null = np.array([value is None for value in found], bool)
    read = _READERS.get(base_type(column.type, catalog))
    if read is None or null.all():
        return Values(objects(list(found)), null)
    items = [None if value is None else read(value) for value in found]
    filler = items[int(np.flatnonzero(~null)[0])]
    return Values(np.array([filler if item is None else item for item in items]), null)


def _moment(value: datetime) -> Any:
    utc = value.astimezone(UTC) if value.tzinfo else value
    return np.datetime64(utc.replace(tzinfo=None), "us")


_READERS: dict[str, Callable[[Any], Any]] = {
    "uuid": lambda value: np.void(value.bytes),
    "boolean": bool,
    "smallint": int,
    "integer": int,
    "bigint": int,
    "numeric": float,
    "double precision": float,
    "real": float,
    "date": lambda value: np.datetime64(value, "D"),
    "timestamp with time zone": _moment,
    "timestamp without time zone": _moment,
}
