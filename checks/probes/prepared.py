"""Reusing a plan: a statement that was prepared while working for another tenant still shows that
tenant's rows. The planner puts the value of an IMMUTABLE function into a cached plan, and a plan
does not ask again who the tenant is."""

import itertools

from psycopg import sql

from checks.attempt import Outcome, Session, Subject, count_rows, first

PREPARE = (
    "SELECT count(*) FROM (SELECT FROM {table} WHERE {tenant} IS DISTINCT FROM {own} LIMIT 100)"
    " AS it"
)
_serial = itertools.count(1)


def attempt(session: Session, subject: Subject) -> Outcome:
    # A name of its own: ROLLBACK does not forget a prepared statement.
    name = sql.Identifier(f"harness_probe_{next(_serial)}")
    execute = sql.SQL("EXECUTE {}").format(name)
    with session.transaction(subject.other) as connection:
        statement = subject.compose(PREPARE)
        connection.execute(sql.SQL("PREPARE {} AS {}").format(name, statement))
        connection.execute(execute)
        session.work_for(subject.own)
        rows = first(connection, execute)
        connection.execute(sql.SQL("DEALLOCATE {}").format(name))
    return count_rows(rows, "by another tenant's prepared statement, read")
