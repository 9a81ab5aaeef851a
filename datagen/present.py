"""Which rows of a frame are in its table: triggers may have put them there before they were
loaded, or have removed them afterwards."""

from __future__ import annotations

import numpy as np
from psycopg import sql

from datagen import encode
from datagen.frame import Frame
from datagen.values import Mask
from harness.catalog.model import Column
from harness.db import Connection


def present(connection: Connection, frame: Frame) -> Mask | None:
    """Which rows are there, by their primary key; None where the table has none."""
    key = frame.table.table.primary_key
    if key is None:
        return None
    columns = [frame.table.table.columns[name] for name in key.columns]
    found = np.zeros(frame.rows, bool)
    given = [_texts(frame, column) for column in columns]
    for (number,) in connection.execute(_query(frame, columns), given).fetchall():
        found[number - 1] = True
    return found


def _query(frame: Frame, columns: list[Column]) -> sql.Composed:
    names = [sql.Identifier(f"k{number}") for number in range(len(columns))]
    return sql.SQL(
        "SELECT g.n FROM unnest({given}) WITH ORDINALITY AS g ({names}, n)"
        " JOIN {table} AS t ON {same}"
    ).format(
        given=sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in columns),
        names=sql.SQL(", ").join(names),
        table=frame.table.name.identifier,
        same=sql.SQL(" AND ").join(
            sql.SQL("t.{} = g.{}::{}").format(
                sql.Identifier(column.name), name, _type_name(column.type)
            )
            for column, name in zip(columns, names, strict=True)
        ),
    )


def _type_name(name: str) -> sql.SQL:
    """A type as PostgreSQL itself prints it, quoted where it has to be."""
    return sql.SQL(name)


def _texts(frame: Frame, column: Column) -> list[str | None]:
    rows = encode.rows([(column, frame.column(column.name))], frame.plan.catalog)
    return [None if value is None else str(value) for (value,) in rows]
