"""A second permissive policy admits rows by another column."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H13"
RULES = ("POL001", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE POLICY harness_mutant ON {table} FOR SELECT USING ({text} IS NOT NULL)"
    )
