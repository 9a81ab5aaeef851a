"""Forgetting: a transaction that names no tenant sees somebody's rows (it should fail closed)."""

from checks.attempt import Outcome, Session, Subject, count_rows, unless_closed

UNSET = True
STATEMENT = "SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 100) AS it"


def attempt(session: Session, subject: Subject) -> Outcome:
    return unless_closed(lambda: look(session, subject, "without a tenant, read"))


def look(session: Session, subject: Subject, doing: str) -> Outcome:
    """What a transaction sees that names no tenant."""
    (rows,) = session.figures(None, subject.compose(STATEMENT))
    return count_rows(rows, doing)
