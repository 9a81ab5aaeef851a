"""Reading: a tenant asks for everything and sees rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

STATEMENT = (
    "SELECT count(*) FROM (SELECT FROM {table} WHERE {tenant} IS DISTINCT FROM %s LIMIT 100) AS it"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.own) as connection:
        row = connection.execute(subject.compose(STATEMENT), [subject.own]).fetchone()
    return count_rows(row[0] if row else 0, "read")
