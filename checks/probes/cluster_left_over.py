"""Inheriting on a cluster: a session keeps its connections to the workers from one transaction to
the next, and with them might keep the tenant that was set there. It must be gone after a commit, a
rollback, an error and a return to a savepoint, in queries of one shard and of all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from psycopg import errors, sql

from checks.attempt import Outcome, Session, Subject, first, judge, unless_closed, verdict_of
from checks.ground import Ground, limit
from checks.surveying import first_readable
from harness.catalog.cluster import Cluster
from harness.db import connect
from harness.run import ProbeResult

RULE = "CIT202"
_ALL = "SELECT count(*) FROM (SELECT {tenant} FROM {table} LIMIT 100) AS it"
_ONE = "SELECT count(*) FROM (SELECT {tenant} FROM {table} WHERE {tenant} = {own} LIMIT 100) AS it"


def survey_cluster(ground: Ground, cluster: Cluster) -> Iterator[ProbeResult]:  # noqa: ARG001
    subject = first_readable(ground)
    if subject is None:
        yield ProbeResult(ground.name, "cluster_left_over", "vacuous", "no table can be read")
        return
    with connect(ground.database.app, autocommit=True) as app:
        limit(app)
        session = Session(app, ground.settings.tenancy)
        outcome = judge(lambda: _after_each(session, subject))
    name = str(subject.table.name)
    yield ProbeResult(name, "cluster_left_over", verdict_of(outcome), outcome.detail)


def _after_each(session: Session, subject: Subject) -> Outcome:
    """What is seen after each way to end what was done for the subject's own tenant."""
    for end, ending in _ENDINGS.items():
        ending(session, subject)
        seen = _seen(session, subject)
        if seen.crossed:
            return Outcome(True, f"after {end}, {seen.detail}")
    seen = unless_closed(lambda: _returned(session, subject))
    if seen.crossed:
        return Outcome(True, f"after a return to a savepoint, {seen.detail}")
    return Outcome(False, f"nothing was left after {', '.join(_ENDINGS)}, a return to a savepoint")


def _seen(session: Session, subject: Subject) -> Outcome:
    """What nobody sees, and what the other tenant sees of the first."""
    for statement in (_ALL, _ONE):
        query = subject.compose(statement)
        nobody = unless_closed(lambda: _count(session, None, query))  # noqa: B023 - called at once
        if nobody.crossed:
            return nobody
    return _count(session, subject.other, subject.compose(_ONE))


def _count(session: Session, tenant: object, query: sql.Composed) -> Outcome:
    (rows,) = session.figures(tenant, query)
    who = "a session without a tenant" if tenant is None else "another tenant"
    return Outcome(rows > 0, f"{who} reads {rows} rows of the tenant before")


def _commit(session: Session, subject: Subject) -> None:
    session.leave(subject.own, subject.compose(_ALL))


def _roll_back(session: Session, subject: Subject) -> None:
    session.figures(subject.own, subject.compose(_ALL))


def _fail(session: Session, subject: Subject) -> None:
    with suppress(errors.DivisionByZero):
        session.figures(subject.own, subject.compose(_ALL), sql.SQL("SELECT 1 / 0"))


def _returned(session: Session, subject: Subject) -> Outcome:
    """What a transaction sees that has gone back to before it named its tenant."""
    query = subject.compose(_ALL)
    with session.transaction(None) as connection:
        connection.execute("SAVEPOINT unnamed")
        session.work_for(subject.own)
        connection.execute(query)
        connection.execute("ROLLBACK TO SAVEPOINT unnamed")
        rows = first(connection, query)
    return Outcome(rows > 0, f"the transaction reads {rows} rows of the tenant before")


_ENDINGS = {"a commit": _commit, "a rollback": _roll_back, "an error": _fail}
