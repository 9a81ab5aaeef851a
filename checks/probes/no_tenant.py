"""Forgetting: a transaction that names no tenant sees somebody's rows (it should fail closed)."""

from checks.attempt import Outcome, Session, Subject, count_rows, first, unless_closed

STATEMENT = "SELECT count(*) FROM (SELECT FROM {table} LIMIT 100) AS it"


def attempt(session: Session, subject: Subject) -> Outcome:
    return unless_closed(lambda: look(session, subject, "without a tenant, read"))


def look(session: Session, subject: Subject, doing: str) -> Outcome:
    """What a transaction sees that names no tenant."""
    with session.transaction(None) as connection:
        return count_rows(first(connection, subject.compose(STATEMENT)), doing)
