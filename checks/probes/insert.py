"""Writing: a tenant inserts a row that is stamped with another tenant's id."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = (
    "INSERT INTO {table} ({tenant}{columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {other}{columns} FROM {table} WHERE {tenant} = {own} LIMIT 1"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    (rows,) = session.figures(subject.own, subject.compose(STATEMENT))
    return count_rows(rows, "inserted")
