"""The application is above row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("PRV005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER ROLE {app} BYPASSRLS")
