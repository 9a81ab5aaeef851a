"""A foreign table, which cannot have row security."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H61"
RULES = ("BYP009",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "CREATE FOREIGN DATA WRAPPER harness_mutant; "
        "CREATE SERVER harness_mutant FOREIGN DATA WRAPPER harness_mutant; "
        "CREATE FOREIGN TABLE {new} ({tenant} {type}) SERVER harness_mutant; "
        "GRANT SELECT ON {new} TO {app}"
    )
