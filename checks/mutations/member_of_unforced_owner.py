"""The application has the rights of the owner, whom row security does not bind."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H76"
RULES = ("PRV007",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY; GRANT {owner} TO {app}"
    )
