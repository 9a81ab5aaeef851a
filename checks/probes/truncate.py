"""Emptying: TRUNCATE asks no policy and removes the rows of all tenants."""

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject

WRITES = True
# A table on which a cursor is open cannot be truncated.
CLOSE = sql.SQL("CLOSE ALL")
STATEMENT = "TRUNCATE {table}"


def attempt(session: Session, subject: Subject) -> Outcome:
    try:
        session.figures(subject.own, CLOSE, subject.compose(STATEMENT))
    except errors.FeatureNotSupported as error:  # asked only of who may
        return Outcome(True, f"only a foreign key stopped it: {error.diag.message_primary}")
    return Outcome(True, "removed the rows of all tenants")
