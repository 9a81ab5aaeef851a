"""A row may belong to nobody."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("TEN003",)


def plant(subject: Subject) -> sql.Composed | None:
    """A partition's column is as its parent's: PostgreSQL would refuse."""
    if subject.table.partition_of is not None:
        return None
    return subject.compose("ALTER TABLE {table} ALTER COLUMN {tenant} DROP NOT NULL")
