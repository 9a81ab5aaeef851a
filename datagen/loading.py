"""Copies the rows of a frame into its table."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from datagen import encode
from datagen.frame import Frame
from harness.catalog.model import Column, Name
from harness.db import Connection


def load(connection: Connection, frame: Frame) -> None:
    """Copies a frame in: binary where every type has an encoding, as text otherwise."""
    columns = [(c, frame.column(c.name)) for c in frame.table.columns]
    catalog = frame.plan.catalog
    binary = all(encode.is_binary(column, catalog) for column, _ in columns)
    statement = _copy_into(frame.table.name, [c for c, _ in columns], binary)
    data = encode.encode(columns, catalog) if binary else b""
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        if binary:
            copy.write(data)
            return
        for row in encode.rows(columns, catalog):
            copy.write_row(row)


def _copy_into(name: Name, columns: Sequence[Column], binary: bool) -> sql.Composed:
    return sql.SQL("COPY {table} ({columns}) FROM STDIN (FORMAT {format})").format(
        table=name.identifier,
        columns=sql.SQL(", ").join(sql.Identifier(c.name) for c in columns),
        format=sql.SQL("binary" if binary else "text"),
    )
