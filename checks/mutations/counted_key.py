"""Keys are counted over all tenants."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {tenant} "
        "{type} NOT NULL)"
    )
