"""A definer function believes the tenant that its caller names."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H53"
RULES = ("BYP012",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FUNCTION {new}({type}) RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "SET search_path = pg_catalog, pg_temp "
        "RETURN (SELECT count(*) FROM {table} WHERE {tenant} = $1); "
        "REVOKE EXECUTE ON FUNCTION {new}({type}) FROM PUBLIC; "
        "GRANT EXECUTE ON FUNCTION {new}({type}) TO {app}"
    )
