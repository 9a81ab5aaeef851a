"""Sessions of a role begin as somebody."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H60"
RULES = ("CTX002",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose(
        "ALTER ROLE {app} SET {setting_name} = '00000000-0000-4000-8000-0000000000ff'"
    )
