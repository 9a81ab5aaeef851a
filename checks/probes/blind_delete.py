"""Deleting blindly: DELETE without WHERE is not held to the policies for SELECT, and a policy for
DELETE that is wider than they are lets it remove rows that the tenant cannot even see."""

from checks.attempt import Outcome, Session, Subject
from checks.blind import on_row_of

WRITES = True
STATEMENT = "DELETE FROM {table} WHERE CURRENT OF foreign_row"


def attempt(session: Session, subject: Subject) -> Outcome:
    return on_row_of("another tenant", session, subject, STATEMENT, "deleted")
