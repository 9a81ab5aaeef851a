"""The policy reads a setting that nobody sets."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H22"
RULES = ("POL006", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} "
        "USING ({tenant} = nullif(current_setting('app.mutant', true), '')::{type})"
    )
