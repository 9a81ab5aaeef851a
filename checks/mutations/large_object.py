"""Large objects belong to the role that all tenants share."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER TABLE {table} ADD COLUMN harness_mutant oid")
