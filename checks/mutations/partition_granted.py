"""A partition is reached by its own name, past the policy of its parent."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("RLS004",)


def plant(subject: Subject) -> sql.Composed | None:
    """Only a partition can be granted like this."""
    if subject.table.partition_of is None:
        return None
    return subject.compose("GRANT SELECT ON {table} TO {app}")
