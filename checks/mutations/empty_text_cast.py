"""A pooled session whose tenant is over raises an error."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H21"
RULES = ("POL005", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} "
        "USING ({tenant} = current_setting({setting}, true)::{type})"
    )
