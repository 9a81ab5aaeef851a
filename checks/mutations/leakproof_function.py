"""A function that the planner runs before the policy."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}(text) RETURNS boolean LANGUAGE sql LEAKPROOF RETURN $1 = 'x'"
    )
