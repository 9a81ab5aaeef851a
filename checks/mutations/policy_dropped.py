"""The table has no policy: nobody reaches its rows."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H96"
RULES = ("RLS003",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("DROP POLICY {policy} ON {table}")
