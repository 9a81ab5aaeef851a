"""Changing: a tenant updates without a filter and reaches rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

WRITES = True
STATEMENT = "UPDATE {table} SET {changed} = {changed} WHERE {foreign_row}"


def attempt(session: Session, subject: Subject) -> Outcome:
    (rows,) = session.figures(subject.own, subject.compose(STATEMENT))
    return count_rows(rows, "updated")
