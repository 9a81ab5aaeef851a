"""What is written is checked, but not for its tenant."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H17"
RULES = ("POL002", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER POLICY {policy} ON {table} WITH CHECK ({key} IS NOT NULL)")
