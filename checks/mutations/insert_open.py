"""A policy lets everybody insert for everybody."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H16"
RULES = ("POL002", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE POLICY harness_mutant ON {table} FOR INSERT WITH CHECK (true)")
