"""Inheriting: the tenant of the previous transaction on a pooled connection is still in force."""

from checks.attempt import Outcome, Session, Subject, unless_closed
from checks.probes.no_tenant import STATEMENT, look

UNSET = True


def attempt(session: Session, subject: Subject) -> Outcome:
    session.leave(subject.other, subject.compose(STATEMENT))
    return unless_closed(lambda: look(session, subject, "after another tenant's transaction, read"))
