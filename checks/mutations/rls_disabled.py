"""Row security is switched off."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H03"
RULES = ("RLS001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
