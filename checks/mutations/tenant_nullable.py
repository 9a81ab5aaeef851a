"""A row may belong to nobody."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

RULES = ("TEN003",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type}, id uuid NOT NULL, UNIQUE ({tenant}, id)); {protected}"
    )
