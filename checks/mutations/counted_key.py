"""Keys are counted over all tenants."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H44"
RULES = ("ORA005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, "
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY); {protected}"
    )
