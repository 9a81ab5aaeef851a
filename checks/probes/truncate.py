"""Emptying: TRUNCATE asks no policy and removes the rows of all tenants."""

from psycopg import errors

from checks.attempt import Outcome, Session, Subject

WRITES = True
STATEMENT = "TRUNCATE {table}"


def attempt(session: Session, subject: Subject) -> Outcome:
    try:
        with session.transaction(subject.own) as connection:
            connection.execute(subject.compose(STATEMENT))
    except errors.FeatureNotSupported as error:  # asked only of who may
        return Outcome(True, f"only a foreign key stopped it: {error.diag.message_primary}")
    return Outcome(True, "removed the rows of all tenants")
