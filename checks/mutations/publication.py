"""A publication sends the rows of all tenants."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H62"
RULES = ("BYP010",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE PUBLICATION harness_mutant FOR TABLE {table}")
