"""A copy by CREATE TABLE AS has no row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H07"
RULES = ("RLS001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} AS SELECT * FROM {table}; GRANT SELECT ON {new} TO {app}"
    )
