"""TRUNCATE ignores row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H70"
RULES = ("PRV001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT TRUNCATE ON {table} TO {app}")
