"""The tenant is computed once and kept with the plan."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H27"
RULES = ("POL008", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS {type} LANGUAGE sql IMMUTABLE "
        "RETURN current_setting({setting})::{type}; "
        "ALTER POLICY {policy} ON {table} USING ({tenant} = {new}())"
    )
