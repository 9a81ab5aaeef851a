"""Every role may read the table."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H73"
RULES = ("PRV003",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT SELECT ON {table} TO PUBLIC")
