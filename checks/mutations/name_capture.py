"""A name in a subquery means the nearer table: always true."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H24"
RULES = ("POL009", "POL001", "POL010")


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE TABLE {new} ({tenant} {type} NOT NULL, member text NOT NULL, "
        "PRIMARY KEY ({tenant}, member)); "
        "{protected}; "
        "INSERT INTO {new} SELECT DISTINCT {tenant}, 'somebody' FROM {table}; "
        "ALTER POLICY {policy} ON {table} "
        "USING (EXISTS (SELECT FROM {new} AS m WHERE m.{tenant} = {tenant}))"
    )
