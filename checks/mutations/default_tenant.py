"""A row that names no tenant is somebody's."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H30"
RULES = ("TEN004",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER TABLE {table} ALTER COLUMN {tenant} "
        "SET DEFAULT '00000000-0000-4000-8000-0000000000ff'"
    )
