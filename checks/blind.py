"""Standing on a row without having read it.

A statement without WHERE would touch every row there is. The cursor of a role that bypasses row
security stands on one row, and what WHERE CURRENT OF does to it as the application is what the
whole statement would do: neither reads a column, so that neither is held to the policies for
SELECT, which would hide what those for UPDATE and DELETE let pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject

_CURSORS: Sequence[LiteralString] = (
    # An index-only scan names a row by the root of its HOT chain, which is not always the row.
    "SET LOCAL enable_indexonlyscan = off",
    "DECLARE own_row CURSOR FOR SELECT FROM {table} WHERE {tenant} = {own}",
    "DECLARE foreign_row CURSOR FOR SELECT FROM {table} WHERE {tenant} = {other}",
    "FETCH own_row",
    "FETCH foreign_row",
)


def cursors(subject: Subject) -> list[sql.Composable]:
    """What opens the two cursors on a row of each tenant, done by a role that sees them."""
    return [subject.compose(statement) for statement in _CURSORS]


def on_row_of(
    whose: str, session: Session, subject: Subject, statement: LiteralString, doing: str
) -> Outcome:
    """What a statement on the row of a cursor does, vacuous where there is no such row."""
    try:
        (rows,) = session.figures(subject.own, subject.compose(statement))
    except errors.InvalidCursorState:
        return Outcome(False, f"there is no row of {whose} to stand on", vacuous=True)
    return Outcome(rows > 0, f"{doing}, without reading it, {rows} row of {whose}")
