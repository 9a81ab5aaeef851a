"""The application has the rights of the owner."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("PRV007",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT {owner} TO {app}")
