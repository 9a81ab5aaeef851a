"""A function that the planner runs before the policy tells what it sees."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H57"
RULES = ("BYP007",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF COST 0.0001 AS "
        "'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'"
    )
