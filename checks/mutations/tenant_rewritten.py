"""The application may move its rows to another tenant."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H80"
RULES = ("POL002", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "DROP POLICY {policy} ON {table}; "
        "CREATE POLICY harness_read ON {table} FOR SELECT USING ({predicate}); "
        "CREATE POLICY harness_mutant ON {table} FOR UPDATE USING ({predicate}) WITH CHECK (true); "
        "REVOKE UPDATE ON {table} FROM {app}; "
        "GRANT UPDATE ({tenant}) ON {table} TO {app}"
    )
