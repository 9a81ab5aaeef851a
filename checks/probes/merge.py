"""Merging: a tenant's MERGE matches rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = (
    "MERGE INTO {table} AS it USING (SELECT) AS nothing ON it.{tenant} = %s"
    " WHEN MATCHED THEN UPDATE SET {tenant} = it.{tenant}"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    with session.transaction(subject.own) as connection:
        cursor = connection.execute(subject.compose(STATEMENT), [subject.other])
    return count_rows(cursor.rowcount, "merged into")
