"""The application reads the server's files."""

from __future__ import annotations

from psycopg import sql

from checks.mutation import Subject

HAZARD = "H78"
RULES = ("PRV008",)


def plant(subject: Subject) -> sql.Composed | None:
    """The SQL that plants it."""
    return subject.compose("GRANT pg_read_server_files TO {app}")
