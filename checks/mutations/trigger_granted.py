"""A trigger of one's own runs as whoever writes."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H72"
RULES = ("PRV002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT TRIGGER ON {table} TO {app}")
