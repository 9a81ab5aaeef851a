"""Inheriting: the tenant of the previous transaction on a pooled connection is still in force."""

from checks.attempt import Outcome, Session, Subject, unless_closed
from checks.probes.no_tenant import STATEMENT, look


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.other, commit=True) as connection:
        connection.execute(subject.compose(STATEMENT))
    return unless_closed(lambda: look(session, subject, "after another tenant's transaction, read"))
