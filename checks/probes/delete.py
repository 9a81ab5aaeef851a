"""Removing: a tenant deletes rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = "DELETE FROM {table} WHERE {tenant} = %s"


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.own) as connection:
        cursor = connection.execute(subject.compose(STATEMENT), [subject.other])
    return count_rows(cursor.rowcount, "deleted")
