"""A function sets the tenant for longer than its transaction."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H59"
RULES = ("CTX001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}(tenant text) RETURNS void LANGUAGE plpgsql AS "
        "$mutant$ BEGIN PERFORM set_config({setting}, tenant, false); END $mutant$"
    )
