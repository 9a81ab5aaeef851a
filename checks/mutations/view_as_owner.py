"""A view reads with the rights of its owner."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H50"
RULES = ("BYP001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE VIEW {new} AS SELECT {tenant} FROM {table}; GRANT SELECT ON {new} TO {app}"
    )
