"""The rows of a child belong to a tenant through their parent alone."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H04"
RULES = ("TEN001",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} (line_id uuid PRIMARY KEY, {key} {key_type} NOT NULL, note text); "
        "GRANT SELECT, INSERT ON {new} TO {app}"
    )
