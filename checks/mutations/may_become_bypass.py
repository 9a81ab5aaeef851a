"""The application may become a role above row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H77"
RULES = ("PRV006",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT {loader} TO {app}")
