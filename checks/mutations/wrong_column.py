"""The policy compares another column with the tenant."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H23"
RULES = ("POL001", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("ALTER POLICY {policy} ON {table} USING ({twin} = {context})")
