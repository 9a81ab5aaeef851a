"""A session without a tenant sees everything."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H19"
RULES = ("POL004", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} USING ( "
        "nullif(current_setting({setting}, true), '') IS NULL "
        "OR {tenant}::text = current_setting({setting}, true))"
    )
