"""Forgetting on a cluster: a session that names no tenant sees rows, in a query that goes to one
shard or in one that goes to all. What a shard shows is decided on its node, where no tenant is set
either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

from checks.attempt import Outcome, Session, Subject, first, judge, unless_closed, verdict_of
from checks.ground import Ground
from harness.catalog.cluster import Cluster
from harness.run import ProbeResult

RULE = "CIT201"
_ALL = "SELECT count(*) FROM (SELECT {tenant} FROM {table} LIMIT 100) AS it"
_ONE = (
    "SELECT count(*) FROM (SELECT {tenant} FROM {table} WHERE {tenant} = {other} LIMIT 100) AS it"
)


def survey_cluster(ground: Ground, cluster: Cluster) -> Iterator[ProbeResult]:
    spread = {relation.name for relation in cluster.relations if relation.distribution}
    tried = held = 0
    for subject in ground.subjects():
        if subject.table.name in spread:
            outcome = judge(lambda: _look(ground.wire, subject))  # noqa: B023 - called at once
            if outcome.crossed is not False:
                name = str(subject.table.name)
                yield ProbeResult(name, "cluster_no_tenant", verdict_of(outcome), outcome.detail)
            tried += 1
            admin, there = ground.place_of(subject)
            held += bool(first(admin, there.compose(_ONE)))
    told = f"{tried} tables asked, {held} of them hold rows of the other tenant"
    yield ProbeResult(ground.name, "cluster_no_tenant", "held" if held else "vacuous", told)


def _look(session: Session, subject: Subject) -> Outcome:
    for statement, where in ((_ONE, "one shard"), (_ALL, "all shards")):
        outcome = unless_closed(lambda: _count(session, subject, statement, where))  # noqa: B023
        if outcome.crossed is not False:
            return outcome
    return outcome


def _count(session: Session, subject: Subject, statement: LiteralString, where: str) -> Outcome:
    """Alone, for a transaction begins on every node that it comes to, and there is none to name a
    tenant in."""
    rows = first(session.connection, subject.compose(statement))
    return Outcome(rows > 0, f"without a tenant, read {rows} rows of {where}")
