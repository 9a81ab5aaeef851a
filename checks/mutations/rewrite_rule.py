"""A rule acts with the rights of the table's owner."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE RULE harness_mutant AS ON INSERT TO {table} DO ALSO NOTIFY harness_mutant"
    )
