"""Calling a function as the application, in a transaction that is rolled back."""

from __future__ import annotations

from typing import Any

import psycopg

from checks.attempt import Session
from checks.calls import Routine
from harness.db import is_lost

Answer = list[str] | psycopg.Error


def ask(session: Session, function: Routine, values: list[str | None], tenant: Any) -> Answer:
    """The rows that a function gives the tenant, as texts, or the error that it raises."""
    try:
        with session.transaction(tenant) as connection:
            cursor = connection.execute(function.statement(values))
            return [_text(row) for row in cursor.fetchall()] if cursor.description else []
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return error


def _text(row: tuple[Any, ...]) -> str:
    """A function's rows have one column, a procedure's as many as it gives back."""
    return row[0] or "" if len(row) == 1 and isinstance(row[0], str) else str(row)
