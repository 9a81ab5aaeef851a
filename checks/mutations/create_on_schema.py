"""The application may put objects before those of others."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H79"
RULES = ("PRV009",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT CREATE ON SCHEMA {schema} TO {app}")
