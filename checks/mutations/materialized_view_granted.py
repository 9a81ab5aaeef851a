"""A materialized view holds the rows of all tenants."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H51"
RULES = ("BYP002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE MATERIALIZED VIEW {new} AS SELECT {tenant} FROM {table} WITH NO DATA; "
        "GRANT SELECT ON {new} TO {app}"
    )
