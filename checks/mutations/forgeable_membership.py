"""The policy believes a table that the application writes."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H25"
RULES = ("POL007", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, member text NOT NULL, "
        "PRIMARY KEY ({tenant}, member)); "
        "GRANT SELECT, INSERT ON {new} TO {app}; "
        "ALTER POLICY {policy} ON {table} USING ({tenant} IN "
        "(SELECT m.{tenant} FROM {new} AS m WHERE m.member = current_setting({setting})))"
    )
