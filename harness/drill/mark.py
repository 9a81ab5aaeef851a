"""The one change that a drill makes: a row in harness.drill, between a full and an incremental
backup, which the second has to bring back. It goes with the drill."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

from harness.db import Connection, connect
from harness.deploy import target as targets

TABLE = "harness.drill"
_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS harness.drill (
    drill_id uuid        PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now()
)
"""


def leave(connection: Connection, mark: uuid.UUID) -> None:
    """Leaves the mark."""
    if connection.execute("SELECT to_regnamespace('harness')").fetchone() == (None,):
        connection.execute("CREATE SCHEMA harness")
    connection.execute(_TABLE)
    connection.execute("INSERT INTO harness.drill (drill_id) VALUES (%s)", [mark])


def is_in(connection: Connection, mark: uuid.UUID) -> bool:
    """Whether a copy has it."""
    if not targets.keeps(connection, "drill"):
        return False
    row = connection.execute("SELECT FROM harness.drill WHERE drill_id = %s", [mark])
    return row.fetchone() is not None


@contextmanager
def taken_away(conninfo: str, mark: uuid.UUID) -> Iterator[None]:
    """Takes the mark away at the end of the block, if it was left."""
    try:
        yield
    finally:
        with connect(conninfo) as connection:
            if is_in(connection, mark):
                connection.execute("DELETE FROM harness.drill WHERE drill_id = %s", [mark])
