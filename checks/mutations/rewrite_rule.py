"""A rule copies rows with the rights of the table's owner."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H56"
RULES = ("BYP006",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, {text} text, "
        "copied timestamptz NOT NULL DEFAULT now(), PRIMARY KEY ({tenant}, copied)); {protected}; "
        "CREATE RULE harness_mutant AS ON INSERT TO {table} DO ALSO "
        "INSERT INTO {new} ({tenant}, {text}) SELECT NEW.{tenant}, t.{text} FROM {table} AS t"
    )
