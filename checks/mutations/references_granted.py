"""A foreign key of one's own is an oracle."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H71"
RULES = ("PRV002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT REFERENCES ON {table} TO {app}")
