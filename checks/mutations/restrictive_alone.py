"""A restrictive policy alone admits nothing."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("POL006", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "DROP POLICY {policy} ON {table}; "
        "CREATE POLICY harness_mutant ON {table} AS RESTRICTIVE USING ({predicate})"
    )
