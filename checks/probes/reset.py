"""Resetting: after DISCARD ALL, which a pool runs between two tenants, a table is open.

A setting that was once set is empty afterwards and not missing: a policy that is open for the
empty text is open on every connection that comes back from a pool. One that raises is an outage
for whoever forgets the tenant, but no leak.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from checks.attempt import Outcome, Session, Subject, first, judge, unless_closed, verdict_of
from checks.ground import Ground, limit
from checks.probes.no_tenant import look
from harness.db import Connection, connect
from harness.run import ProbeResult


def survey(ground: Ground) -> Iterator[ProbeResult]:
    with connect(ground.database.app, autocommit=True) as app:
        session = Session(app, ground.settings.tenancy)
        _use_and_discard(session, ground)
        outcomes = {str(s.table.name): _look(session, s) for s in ground.subjects()}
    for table, outcome in outcomes.items():
        if outcome.crossed is not False:
            yield ProbeResult(table, "reset", verdict_of(outcome), outcome.detail)
    closed = [outcome for outcome in outcomes.values() if outcome.crossed is False]
    raising = sum(outcome.detail.startswith("failed closed") for outcome in closed)
    told = f"{len(closed)} tables closed after DISCARD ALL, {raising} of them by an error"
    yield ProbeResult(ground.name, "reset", "held" if closed else "vacuous", told)


def _use_and_discard(session: Session, ground: Ground) -> None:
    session.leave(ground.other, sql.SQL("SELECT"))
    _discard(session.connection)


def _discard(app: Connection) -> None:
    """DISCARD ALL, which also takes back a role that was set when the connection began."""
    role = first(app, "SELECT nullif(current_setting('role'), 'none')")
    app.execute("DISCARD ALL")
    limit(app)
    if role is not None:
        app.execute("SELECT set_config('role', %s, false)", [role])


def _look(session: Session, subject: Subject) -> Outcome:
    return judge(lambda: unless_closed(lambda: look(session, subject, "after DISCARD ALL, read")))
