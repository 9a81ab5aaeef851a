"""Exporting: COPY TO hands a tenant the rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

# PostgreSQL makes a query like this of the name of a table with row security.
STATEMENT = (
    "COPY (SELECT {tenant} FROM {table} WHERE {tenant} IS DISTINCT FROM {own} LIMIT 100) TO STDOUT"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    with (
        session.transaction(subject.own) as connection,
        connection.cursor().copy(subject.compose(STATEMENT)) as copy,
    ):
        foreign = sum(1 for _ in copy.rows())
    return count_rows(foreign, "exported")
