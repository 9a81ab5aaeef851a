"""A unique key tells which values other tenants have."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H40"
RULES = ("ORA001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE UNIQUE INDEX harness_mutant ON {table} ({text})")
