"""A child is reached by its own name, past the policy."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H06"
RULES = ("RLS001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} () INHERITS ({table}); GRANT SELECT ON {new} TO {app}"
    )
