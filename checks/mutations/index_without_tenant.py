"""An index that no query of a tenant can use alone."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("PRF001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE INDEX harness_mutant ON {table} ({text})")
