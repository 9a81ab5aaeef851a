"""Moving: a tenant hands a row of its own to another tenant by rewriting the tenant column."""

from checks.attempt import Outcome, Session, Subject

WRITES = True
# A cursor finds the row, so that the update reads no column: one that does is also held to the
# policies for SELECT, which would hide that those for UPDATE let it pass.
FIND = "DECLARE own_row CURSOR FOR SELECT FROM {table} WHERE {tenant} = %s"
# An index-only scan names a row by the root of its HOT chain, which is not always the row.
PLAIN = "SET LOCAL enable_indexonlyscan = off"
STATEMENT = "UPDATE {table} SET {tenant} = %s WHERE CURRENT OF own_row"


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.own) as connection:
        connection.execute(PLAIN)
        connection.execute(subject.compose(FIND), [subject.own])
        if connection.execute("FETCH own_row").fetchone() is None:
            return Outcome(False, "has no row of its own to move")
        cursor = connection.execute(subject.compose(STATEMENT), [subject.other])
    return Outcome(cursor.rowcount > 0, f"moved {cursor.rowcount} rows to another tenant")
