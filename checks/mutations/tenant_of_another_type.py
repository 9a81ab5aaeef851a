"""The tenant column has another type."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H90"
RULES = ("TEN002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} text NOT NULL, id uuid NOT NULL, "
        "PRIMARY KEY ({tenant}, id)); "
        "ALTER TABLE {new} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
        "CREATE POLICY harness_mutant ON {new} USING ({tenant} = ({context})::text); "
        "GRANT SELECT, INSERT ON {new} TO {app}"
    )
