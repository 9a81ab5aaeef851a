"""The application reads and sets a sequence that tenants share."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H45"
RULES = ("ORA006",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE SEQUENCE {new}; GRANT ALL ON SEQUENCE {new} TO {app}")
