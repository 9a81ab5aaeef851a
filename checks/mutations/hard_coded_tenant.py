"""The policy is one tenant's."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("POL006", "POL001", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} "
        "USING ({tenant}::text = '00000000-0000-4000-8000-0000000000ff')"
    )
