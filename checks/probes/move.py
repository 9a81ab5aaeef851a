"""Moving: a tenant hands a row of its own to another tenant by rewriting the tenant column."""

from checks.attempt import Outcome, Session, Subject
from checks.blind import on_row_of

WRITES = True
STATEMENT = "UPDATE {table} SET {tenant} = {other} WHERE CURRENT OF own_row"


def attempt(session: Session, subject: Subject) -> Outcome:
    return on_row_of("the tenant", session, subject, STATEMENT, "moved to another tenant")
