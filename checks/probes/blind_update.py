"""Changing blindly: UPDATE without WHERE is not held to the policies for SELECT, and a policy for
UPDATE that is wider than they are lets it change rows that the tenant cannot even see."""

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject, count_rows, first
from checks.blind import NO_ROW, stand_on_foreign_row

WRITES = True
TAKE_OVER = "UPDATE {table} SET {tenant} = {own} WHERE CURRENT OF foreign_row"
CHANGE = "UPDATE {} SET {} = DEFAULT WHERE CURRENT OF foreign_row"
CHANGEABLE = (
    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    " AND attgenerated = '' AND attidentity = '' AND NOT attisdropped"
    " AND has_column_privilege(attrelid, attnum, 'UPDATE') LIMIT 1"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(None) as connection:
        if not stand_on_foreign_row(session, subject):
            return NO_ROW
        session.work_for(subject.own)
        try:
            with connection.transaction():
                cursor = connection.execute(subject.compose(TAKE_OVER))
        except errors.InsufficientPrivilege:
            column = first(connection, CHANGEABLE, [subject.regclass])
            if column is None:
                raise
            names = (subject.table.name.identifier, sql.Identifier(column))
            cursor = connection.execute(sql.SQL(CHANGE).format(*names))
    return count_rows(cursor.rowcount, "changed, without seeing them,")
