"""Deleting blindly: DELETE without WHERE is not held to the policies for SELECT, and a policy for
DELETE that is wider than they are lets it remove rows that the tenant cannot even see."""

from checks.attempt import Outcome, Session, Subject, count_rows
from checks.blind import NO_ROW, stand_on_foreign_row

WRITES = True
STATEMENT = "DELETE FROM {table} WHERE CURRENT OF foreign_row"


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(None) as connection:
        if not stand_on_foreign_row(session, subject):
            return NO_ROW
        session.work_for(subject.own)
        cursor = connection.execute(subject.compose(STATEMENT))
    return count_rows(cursor.rowcount, "deleted, without seeing them,")
