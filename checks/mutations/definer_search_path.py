"""A definer function looks names up where its caller says."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H54"
RULES = ("BYP004",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "RETURN (SELECT count(*) FROM {table}); "
        "REVOKE EXECUTE ON FUNCTION {new}() FROM PUBLIC"
    )
