"""A cast on the tenant column keeps indexes away."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H94"
RULES = ("PRF003", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} USING ({tenant}::text = {context}::text)"
    )
