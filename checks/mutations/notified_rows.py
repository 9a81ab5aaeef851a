"""What is written is told to whoever listens."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H58"
RULES = ("BYP008",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_notify(''mutant'', NEW::text); RETURN NULL; END'; "
        "CREATE TRIGGER harness_mutant AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION "
        "{new}()"
    )
