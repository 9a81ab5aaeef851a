"""Reusing a plan: a statement that was prepared while working for another tenant still shows that
tenant's rows. The planner puts the value of an IMMUTABLE function into a cached plan, and a plan
does not ask again who the tenant is."""

import itertools

from psycopg import sql

from checks.attempt import Outcome, Session, Subject, count_rows
from checks.probes.select import STATEMENT

_serial = itertools.count(1)


def attempt(session: Session, subject: Subject) -> Outcome:
    # A name of its own: ROLLBACK does not forget a prepared statement.
    name = sql.Identifier(f"harness_probe_{next(_serial)}")
    prepare = sql.SQL("PREPARE {} AS {}").format(name, subject.compose(STATEMENT))
    execute, forget = (sql.SQL(f"{verb} {{}}").format(name) for verb in ("EXECUTE", "DEALLOCATE"))
    naming = session.name(subject.own)
    figures = session.figures(subject.other, prepare, execute, naming, execute, forget)
    return count_rows(figures[3], "by another tenant's prepared statement, read")
