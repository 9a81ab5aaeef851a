"""Rows of no tenant are everybody's."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H29"
RULES = ("POL003", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type}, id uuid NOT NULL, UNIQUE ({tenant}, id)); "
        "ALTER TABLE {new} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
        "CREATE POLICY harness_mutant ON {new} USING ({predicate} OR {tenant} IS NULL); "
        "GRANT SELECT, INSERT ON {new} TO {app}"
    )
