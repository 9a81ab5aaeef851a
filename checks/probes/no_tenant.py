"""Forgetting: a transaction that names no tenant sees somebody's rows (it should fail closed)."""

from psycopg import errors

from checks.attempt import Outcome, Session, Subject, count_rows

STATEMENT = "SELECT count(*) FROM (SELECT FROM {table} LIMIT 100) AS it"


def attempt(session: Session, subject: Subject) -> Outcome:
    try:
        with session.transaction(None) as connection:
            row = connection.execute(subject.compose(STATEMENT)).fetchone()
    except (errors.UndefinedObject, errors.InvalidTextRepresentation) as error:
        return Outcome(False, f"failed closed: {error.diag.message_primary}")
    return count_rows(row[0] if row else 0, "without a tenant, read")
