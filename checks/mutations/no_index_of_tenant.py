"""No index leads with the tenant."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H92"
RULES = ("PRF001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, id uuid NOT NULL, note text); {protected}"
    )
