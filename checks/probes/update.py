"""Changing: a tenant updates without a filter and reaches rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = "UPDATE {table} SET {tenant} = {tenant} WHERE {tenant} = %s"


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.own) as connection:
        cursor = connection.execute(subject.compose(STATEMENT), [subject.other])
    return count_rows(cursor.rowcount, "updated")
