"""A new table without row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H01"
RULES = ("RLS001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, id uuid NOT NULL, PRIMARY KEY "
        "({tenant}, id)); "
        "GRANT SELECT ON {new} TO {app}"
    )
