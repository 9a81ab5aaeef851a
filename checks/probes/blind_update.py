"""Changing blindly: UPDATE without WHERE is not held to the policies for SELECT, and a policy for
UPDATE that is wider than they are lets it change rows that the tenant cannot even see."""

from typing import LiteralString

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject, first
from checks.blind import on_row_of

WRITES = True
TAKE_OVER = "UPDATE {table} SET {tenant} = {own} WHERE CURRENT OF foreign_row"
CHANGE: LiteralString = "UPDATE {} SET {} = DEFAULT WHERE CURRENT OF foreign_row"
CHANGEABLE = (
    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    " AND attgenerated = '' AND attidentity = '' AND NOT attisdropped"
    " AND has_column_privilege(attrelid, attnum, 'UPDATE') LIMIT 1"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    try:
        return on_row_of("another tenant", session, subject, TAKE_OVER, "changed")
    except (errors.InsufficientPrivilege, errors.GeneratedAlways):
        column = _changeable(session, subject)
        if column is None:
            raise
    names = (subject.table.name.identifier, sql.Identifier(column))
    (rows,) = session.figures(subject.own, sql.SQL(CHANGE).format(*names))
    return Outcome(
        rows > 0, f"changed {column}, without reading it, in {rows} row of another tenant"
    )


def _changeable(session: Session, subject: Subject) -> str | None:
    """A column that may be changed where the tenant's may not."""
    with session.transaction(subject.own) as connection:
        column = first(connection, CHANGEABLE, [subject.regclass])
    return None if column in (None, subject.tenant_column) else str(column)
