"""Large objects belong to the role that all tenants share."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H95"
RULES = ("BYP011",)


def plant(subject: Subject) -> sql.Composed | None:
    """A partition's columns are its parent's: PostgreSQL would refuse."""
    if subject.table.partition_of is not None:
        return None
    return subject.compose("ALTER TABLE {table} ADD COLUMN harness_mutant oid")
