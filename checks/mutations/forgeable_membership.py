"""The policy believes a table that the application writes."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL); "
        "GRANT SELECT, INSERT ON {new} TO {app}; "
        "ALTER POLICY {policy} ON {table} USING ({tenant} IN (SELECT m.{tenant} FROM {new} AS m))"
    )
