"""Merging: a tenant's MERGE matches rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = (
    "MERGE INTO {table} AS it USING (SELECT) AS nothing ON it.{tenant} = {other}"
    " WHEN MATCHED THEN UPDATE SET {tenant} = it.{tenant}"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    (rows,) = session.figures(subject.own, subject.compose(STATEMENT))
    return count_rows(rows, "merged into")
