"""An exclusion constraint tells what other tenants have."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H43"
RULES = ("ORA002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER TABLE {table} ADD CONSTRAINT harness_mutant EXCLUDE USING btree ({text} WITH =)"
    )
