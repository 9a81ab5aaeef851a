"""Going around the coordinator: the application role connects to a worker and reads the shards that
lie there by their own names, without a tenant and with one. Shards have row security of their own,
and no query of the coordinator shows whether it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from checks.attempt import Outcome, Session, Subject, judge, unless_closed, verdict_of
from checks.ground import Ground
from checks.workers import RefusedHere, session_on
from harness.catalog.cluster import Cluster, Copy
from harness.catalog.model import Name
from harness.db import is_lost
from harness.run import ProbeResult

RULE = "CIT203"
_READ: LiteralString = "SELECT count(*) FROM (SELECT {tenant} FROM {table} LIMIT 100) AS it"
_OTHERS: LiteralString = (
    "SELECT count(*) FROM (SELECT {tenant} FROM {table} WHERE {tenant} <> {own} LIMIT 100) AS it"
)
_MANY = 100
"""Shards that are read by one message."""
# What fails shows nothing; what only took too long might have.
_NOBODY = """
DO $harness$
DECLARE
    query text;
    seen  bigint;
BEGIN
    FOREACH query IN ARRAY {}::text[] LOOP
        BEGIN
            EXECUTE query INTO seen;
        EXCEPTION
            WHEN lock_not_available THEN RAISE;
            WHEN OTHERS THEN seen := 0;
        END;
        IF seen > 0 THEN
            RAISE EXCEPTION 'rows are shown';
        END IF;
    END LOOP;
END
$harness$
"""


def survey_cluster(ground: Ground, cluster: Cluster) -> Iterator[ProbeResult]:
    subjects = {subject.table.name: subject for subject in ground.subjects()}
    for node in cluster.holding:
        copies = [c for c in cluster.copies if c.node == node.place and c.relation in subjects]
        shards = [copy for copy in copies if copy.shard is not None]
        # A door shows what shards do; that it opens none to anybody is seen at any of them.
        doors = [copy for copy in copies if copy.shard is None][:1]
        try:
            with session_on(ground, node) as session:
                yield from _read_all(session, node.place, [*doors, *shards], subjects)
        except RefusedHere as refused:
            yield ProbeResult(node.place, "cluster_worker", "held", str(refused))


def _read_all(
    session: Session, place: str, copies: list[Copy], subjects: Mapping[Name, Subject]
) -> Iterator[ProbeResult]:
    for start in range(0, len(copies), _MANY):
        some = copies[start : start + _MANY]
        if not _are_closed(session, [(copy, subjects[copy.relation]) for copy in some]):
            yield from _read_each(session, place, some, subjects)
    told = f"{len(copies)} relations were read"
    yield ProbeResult(place, "cluster_worker", "held" if copies else "vacuous", told)


def _are_closed(session: Session, some: Sequence[tuple[Copy, Subject]]) -> bool:
    """Whether none of some shards shows anything, which two messages tell."""
    if not some:
        return True
    own = some[0][1].own
    nobody = [_query(_READ, copy, subject).as_string(None) for copy, subject in some]
    others = [_query(_OTHERS, copy, subject) for copy, subject in some]
    try:
        session.figures(None, sql.SQL(_NOBODY).format(sql.Literal(nobody)))
        return not any(session.figures(own, *others))
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return False


def _read_each(
    session: Session, place: str, copies: Sequence[Copy], subjects: Mapping[Name, Subject]
) -> Iterator[ProbeResult]:
    for copy in copies:
        outcome = judge(lambda: _read(session, copy, subjects[copy.relation]))  # noqa: B023
        if outcome.crossed is not False:
            told = f"{outcome.detail} on {place}"
            yield ProbeResult(str(copy.relation), "cluster_worker", verdict_of(outcome), told)


def _query(statement: LiteralString, copy: Copy, subject: Subject) -> sql.Composed:
    return sql.SQL(statement).format(
        table=copy.name.identifier,
        tenant=sql.Identifier(subject.tenant_column),
        own=sql.Literal(subject.own),
    )


def _read(session: Session, copy: Copy, subject: Subject) -> Outcome:
    read, others = (_query(statement, copy, subject) for statement in (_READ, _OTHERS))
    nobody = unless_closed(lambda: _count(session, None, copy, read, "without a tenant"))
    if nobody.crossed is not False:
        return nobody
    return _count(session, subject.own, copy, others, "as one tenant")


def _count(session: Session, tenant: object, copy: Copy, query: sql.Composed, how: str) -> Outcome:
    (rows,) = session.figures(tenant, query)
    return Outcome(rows > 0, f"{how}, read {rows} rows of others in {copy.name}")
