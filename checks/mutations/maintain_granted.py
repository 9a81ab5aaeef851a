"""MAINTAIN locks the table for all tenants."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("PRV002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT MAINTAIN ON {table} TO {app}")
