"""The tenant comes from what users write about themselves."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H26"
RULES = ("POL013", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} USING ({tenant} = ( "
        "current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata' ->> "
        "'tenant')::{type})"
    )
