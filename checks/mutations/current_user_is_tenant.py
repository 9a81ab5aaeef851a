"""The tenant is the database user, which all tenants share."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H31"
RULES = ("POL006", "POL001", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER POLICY {policy} ON {table} USING ({tenant}::text = current_user)")
