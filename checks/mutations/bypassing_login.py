"""Somebody logs in above row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H75"
RULES = ("PRV005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE ROLE harness_mutant LOGIN BYPASSRLS; "
        "GRANT USAGE ON SCHEMA {schema} TO harness_mutant; "
        "GRANT SELECT ON {table} TO harness_mutant"
    )
