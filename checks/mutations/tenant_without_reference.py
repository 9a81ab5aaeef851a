"""Nothing says that a row's tenant exists."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H91"
RULES = ("TEN005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, id uuid NOT NULL, "
        "PRIMARY KEY ({tenant}, id)); "
        "{protected}"
    )
