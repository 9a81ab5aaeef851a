"""Going around the coordinator: the application role connects to a worker and reads the shards that
lie there by their own names, without a tenant and with one. Shards have row security of their own,
and no query of the coordinator shows whether it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import sql

from checks.attempt import Outcome, Session, Subject, judge, unless_closed, verdict_of
from checks.ground import Ground
from checks.workers import RefusedHere, session_on
from harness.catalog.cluster import Cluster, Copy
from harness.catalog.model import Name
from harness.run import ProbeResult

RULE = "CIT203"
_READ = sql.SQL("SELECT count(*) FROM (SELECT {tenant} FROM {table} LIMIT 100) AS it")
_OTHERS = sql.SQL(
    "SELECT count(*) FROM (SELECT {tenant} FROM {table} WHERE {tenant} <> {own} LIMIT 100) AS it"
)


def survey_cluster(ground: Ground, cluster: Cluster) -> Iterator[ProbeResult]:
    subjects = {subject.table.name: subject for subject in ground.subjects()}
    for node in cluster.holding:
        copies = [c for c in cluster.copies if c.node == node.place and c.relation in subjects]
        try:
            with session_on(ground, node) as session:
                yield from _read_all(session, node.place, copies, subjects)
        except RefusedHere as refused:
            yield ProbeResult(node.place, "cluster_worker", "held", str(refused))


def _read_all(
    session: Session, place: str, copies: list[Copy], subjects: Mapping[Name, Subject]
) -> Iterator[ProbeResult]:
    for copy in copies:
        outcome = judge(lambda: _read(session, copy, subjects[copy.relation]))  # noqa: B023
        if outcome.crossed is not False:
            told = f"{outcome.detail} on {place}"
            yield ProbeResult(str(copy.relation), "cluster_worker", verdict_of(outcome), told)
    told = f"{len(copies)} relations were read"
    yield ProbeResult(place, "cluster_worker", "held" if copies else "vacuous", told)


def _read(session: Session, copy: Copy, subject: Subject) -> Outcome:
    parts = {
        "table": copy.name.identifier,
        "tenant": sql.Identifier(subject.tenant_column),
        "own": sql.Literal(subject.own),
    }
    nobody = unless_closed(
        lambda: _count(session, None, copy, _READ.format(**parts), "without a tenant")
    )
    if nobody.crossed is not False:
        return nobody
    return _count(session, subject.own, copy, _OTHERS.format(**parts), "as one tenant")


def _count(session: Session, tenant: object, copy: Copy, query: sql.Composed, how: str) -> Outcome:
    (rows,) = session.figures(tenant, query)
    return Outcome(rows > 0, f"{how}, read {rows} rows of others in {copy.name}")
