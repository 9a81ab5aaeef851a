"""The application owns the table, and row security does not bind owners."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H02"
RULES = ("RLS002", "RLS005")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY; ALTER TABLE {table} OWNER TO {app}"
    )
