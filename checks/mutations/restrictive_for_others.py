"""The floor holds for a role that no application uses."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H28"
RULES = ("POL001", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "DROP POLICY {policy} ON {table}; "
        "CREATE POLICY harness_floor ON {table} AS RESTRICTIVE TO {loader} USING ({predicate}); "
        "CREATE POLICY harness_mutant ON {table} USING (true)"
    )
