"""A partition without row security is granted by its own name."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H05"
RULES = ("RLS001", "RLS004")


def plant(subject: Subject) -> sql.Composed | None:
    """Only a partition can be opened like this."""
    if subject.table.partition_of is None:
        return None
    return subject.compose(
        "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY; GRANT SELECT ON {table} TO {app}"
    )
