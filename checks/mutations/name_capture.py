"""A name in a subquery means the nearer table: always true."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER POLICY {policy} ON {table} "
        "USING (EXISTS (SELECT FROM {table} AS m WHERE m.{tenant} = {tenant}))"
    )
