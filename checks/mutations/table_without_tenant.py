"""A table without the tenant column."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("TEN001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} (id uuid PRIMARY KEY); GRANT SELECT ON {new} TO {app}"
    )
