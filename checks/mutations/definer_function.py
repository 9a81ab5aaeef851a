"""Everybody may call a function that reads as its owner."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H52"
RULES = ("BYP003",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS SETOF {table} LANGUAGE sql SECURITY DEFINER "
        "SET search_path = pg_catalog, pg_temp BEGIN ATOMIC SELECT * FROM {table}; END"
    )
