"""A session without a tenant is taken for the row's own."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H20"
RULES = ("POL004", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} USING ( "
        "{tenant} = coalesce(nullif(current_setting({setting}, true), '')::{type}, {tenant}))"
    )
