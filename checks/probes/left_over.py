"""Inheriting: the tenant of the previous transaction on a pooled connection is still in force."""

from psycopg import errors

from checks.attempt import Outcome, Session, Subject, count_rows
from checks.probes.no_tenant import STATEMENT


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.other, commit=True) as connection:
        connection.execute(subject.compose(STATEMENT))
    try:
        with session.transaction(None) as connection:
            row = connection.execute(subject.compose(STATEMENT)).fetchone()
    except (errors.UndefinedObject, errors.InvalidTextRepresentation) as error:
        return Outcome(False, f"failed closed: {error.diag.message_primary}")
    return count_rows(row[0] if row else 0, "after another tenant's transaction, read")
