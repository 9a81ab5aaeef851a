"""Merging: a tenant's MERGE matches rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = (
    "MERGE INTO {table} USING (SELECT) AS nothing ON {foreign_row}"
    " WHEN MATCHED THEN UPDATE SET {changed} = {changed}"
)


def attempt(session: Session, subject: Subject) -> Outcome:
    (rows,) = session.figures(subject.own, subject.compose(STATEMENT))
    return count_rows(rows, "merged into")
