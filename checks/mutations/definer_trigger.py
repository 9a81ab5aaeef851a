"""A trigger reads as its owner whatever the writer may see."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER harness_mutant BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION "
        "{new}()"
    )
