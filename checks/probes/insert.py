"""Writing: a tenant inserts a row that is stamped with another tenant's id."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = (
    "INSERT INTO {table} ({tenant}{columns}) OVERRIDING SYSTEM VALUE"
    " SELECT %s{columns} FROM {table} WHERE {tenant} = %s LIMIT 1"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.own) as connection:
        cursor = connection.execute(subject.compose(STATEMENT), [subject.other, subject.own])
    return count_rows(cursor.rowcount, "inserted")
