"""A trigger writes into a row what other tenants hold."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H55"
RULES = ("BYP005",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        "SET search_path = pg_catalog, pg_temp AS $mutant$ BEGIN "
        "NEW.{text} := (SELECT max(t.{text}) FROM {table} AS t WHERE t.{tenant} <> NEW.{tenant}); "
        "RETURN NEW; END $mutant$; "
        "CREATE TRIGGER harness_mutant BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION "
        "{new}()"
    )
