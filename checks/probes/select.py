"""Reading: a tenant asks for everything and sees rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

STATEMENT = (
    "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {tenant} IS DISTINCT FROM {own} LIMIT 100)"
    " AS it"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    (rows,) = session.figures(subject.own, subject.compose(STATEMENT))
    return count_rows(rows, "read")
