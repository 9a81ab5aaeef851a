"""A reference may lead to the row of another tenant."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H41"
RULES = ("ORA003",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, {key} {key_type} PRIMARY KEY); {protected}; "
        "ALTER TABLE {table} ADD FOREIGN KEY ({key}) REFERENCES {new} ({key}) NOT VALID"
    )
