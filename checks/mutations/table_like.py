"""A copy by LIKE has no row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("RLS001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} (LIKE {table} INCLUDING ALL); GRANT SELECT ON {new} TO {app}"
    )
