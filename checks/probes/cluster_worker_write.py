"""Misplacing: the application role connects to a worker and writes a row of its own tenant into a
shard of others. Row security lets it, for the tenant is right; the row is lost to the tenant's own
queries and may stand twice. Let pg_hba.conf of the workers refuse application roles."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql
from psycopg.types.json import Jsonb

from checks.attempt import Outcome, Session, Subject, first, judge, verdict_of
from checks.ground import Ground
from checks.surveying import first_readable
from checks.workers import RefusedHere, session_on
from harness.catalog.cluster import Cluster, Copy
from harness.run import ProbeResult

RULE = "CIT204"
_HOME = "SELECT get_shard_id_for_distribution_column(%s::regclass, %s)"
_ROW = "SELECT to_jsonb(it) FROM {table} AS it WHERE {tenant} = {own} LIMIT 1"
_WRITE = sql.SQL(
    "INSERT INTO {shard} ({columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {columns} FROM jsonb_populate_record(NULL::{shard}, {row})"
)


def survey_cluster(ground: Ground, cluster: Cluster) -> Iterator[ProbeResult]:
    subject = first_readable(ground)
    for node in cluster.holding:
        shard = _foreign_shard(ground, cluster, subject, node.place) if subject else None
        if subject is None or shard is None:
            told = "no shard of others with a row to put into it"
            yield ProbeResult(node.place, "cluster_worker_write", "vacuous", told)
            continue
        try:
            with session_on(ground, node) as session:
                outcome = judge(lambda: _write(ground, session, subject, shard))  # noqa: B023
        except RefusedHere as refused:
            outcome = Outcome(False, str(refused))
        verdict = verdict_of(outcome, "noted")
        yield ProbeResult(node.place, "cluster_worker_write", verdict, outcome.detail)


def _foreign_shard(ground: Ground, cluster: Cluster, subject: Subject, place: str) -> Copy | None:
    """A shard of the subject's table on the node that is not its own tenant's."""
    home = first(ground.admin, _HOME, [subject.regclass, subject.own])
    shards = (c for c in cluster.copies if c.node == place and c.relation == subject.table.name)
    return next((c for c in shards if c.shard not in (None, home)), None)


def _write(ground: Ground, session: Session, subject: Subject, shard: Copy) -> Outcome:
    row = first(ground.admin, subject.compose(_ROW))
    written = [c.name for c in subject.table.columns.values() if c.generated is None]
    statement = _WRITE.format(
        shard=shard.name.identifier,
        columns=sql.SQL(", ").join(map(sql.Identifier, written)),
        row=sql.Literal(Jsonb(row)),
    )
    (rows,) = session.figures(subject.own, statement)
    told = f"wrote {rows} row of its own into {shard.name}, a shard of others"
    return Outcome(rows > 0, told)
