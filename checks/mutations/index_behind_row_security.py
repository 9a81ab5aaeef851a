"""An index that row security keeps queries from: its condition is not leakproof."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("PRF005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it; a partition has the indexes of its parent."""
    if subject.table.partition_of is not None:
        return None
    return subject.compose("CREATE INDEX harness_mutant ON {table} ({tenant}, lower({text}))")
