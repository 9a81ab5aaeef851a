"""Every later table is everybody's."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H74"
RULES = ("PRV004",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO PUBLIC"
    )
