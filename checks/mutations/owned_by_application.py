"""The application owns the table and may switch row security off."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("RLS005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER TABLE {table} OWNER TO {app}")
