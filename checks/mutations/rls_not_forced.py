"""Row security does not bind the owner."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("RLS002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
