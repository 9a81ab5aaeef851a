"""Letting go of foreign keys, so that a row to which others refer can be removed and added."""

from __future__ import annotations

from psycopg import sql

from checks.attempt import Subject
from harness.db import Connection

_TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgisinternal"
_OFF = "ALTER TABLE {table} DISABLE TRIGGER {trigger}"


def let_go(admin: Connection, subject: Subject) -> list[sql.Composed]:
    """What a superuser does to that end, in a transaction that is rolled back."""
    found = admin.execute(_TRIGGERS, [subject.regclass]).fetchall()
    return [subject.compose(_OFF, trigger=sql.Identifier(name)) for (name,) in found]
