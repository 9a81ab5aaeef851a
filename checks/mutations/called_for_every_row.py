"""The tenant is asked for at every row."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H93"
RULES = ("PRF002", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS {type} LANGUAGE plpgsql STABLE AS "
        "$mutant$ BEGIN RETURN current_setting({setting})::{type}; END $mutant$; "
        "ALTER POLICY {policy} ON {table} USING ({tenant} = {new}())"
    )
