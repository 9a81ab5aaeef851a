"""A policy lets everybody delete what they cannot see."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("POL001", "POL002", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE POLICY harness_mutant ON {table} FOR DELETE USING (true)")
