"""The tenant column is granted for UPDATE by name."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("PRV010",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "REVOKE UPDATE ON {table} FROM {app}; GRANT UPDATE ({tenant}, {key}) ON {table} TO {app}"
    )
