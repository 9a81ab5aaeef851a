"""A policy lets everybody change what they cannot see."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("CREATE POLICY harness_mutant ON {table} FOR UPDATE USING (true)")
