"""Copies the rows of a frame into its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from datagen import encode
from datagen.frame import Frame
from harness.catalog.model import Column, Name
from harness.db import Connection

Copy = Callable[[Connection, Frame], None]
"""Copies the rows of a frame in."""


def load(connection: Connection, frame: Frame, frozen: bool = False) -> None:
    """Copies a frame in: binary where every type has an encoding, as text otherwise. `frozen` rows
    are taken only by a table that the transaction made or emptied."""
    columns = [(c, frame.column(c.name)) for c in frame.table.columns]
    catalog = frame.plan.catalog
    binary = all(encode.is_binary(column, catalog) for column, _ in columns)
    kind = sql.SQL("binary" if binary else "text")
    options = sql.SQL("FORMAT {}, FREEZE" if frozen else "FORMAT {}").format(kind)
    statement = _copy_into(frame.table.name, [c for c, _ in columns], options)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        if binary:
            for piece in encode.stream(columns, catalog):
                copy.write(piece)
            return
        for row in encode.rows(columns, catalog):
            copy.write_row(row)


def _copy_into(name: Name, columns: Sequence[Column], options: sql.Composed) -> sql.Composed:
    return sql.SQL("COPY {table} ({columns}) FROM STDIN ({options})").format(
        table=name.identifier,
        columns=sql.SQL(", ").join(sql.Identifier(c.name) for c in columns),
        options=options,
    )
