"""Misplacing: the application role connects to a worker and writes a row of its own tenant into a
shard of others. Row security lets it, for the tenant is right; the row is lost to the tenant's own
queries and may stand twice. Let pg_hba.conf of the workers refuse application roles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from checks.attempt import Outcome, Session, Subject, first, judge, verdict_of
from checks.ground import Ground
from checks.surveying import first_readable
from checks.workers import RefusedHere, session_on
from harness.catalog import shards
from harness.catalog.cluster import Cluster, Copy
from harness.run import ProbeResult

RULE = "CIT204"
_TENANTS = "SELECT DISTINCT {tenant} FROM {table} LIMIT 100"
_ROW = "SELECT to_jsonb(it) FROM {table} AS it WHERE {tenant} = {own} LIMIT 1"
_WRITE = sql.SQL(
    "INSERT INTO {shard} ({columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {columns} FROM jsonb_populate_record(NULL::{shard}, {row})"
)


def survey_cluster(ground: Ground, cluster: Cluster) -> Iterator[ProbeResult]:
    subject = first_readable(ground)
    homes = _homes(ground, subject) if subject else []
    for node in cluster.holding:
        found = misplaced(cluster, subject, homes, node.place) if subject else None
        if subject is None or found is None:
            told = "no shard of others with a row to put into it"
            yield ProbeResult(node.place, "cluster_worker_write", "vacuous", told)
            continue
        try:
            with session_on(ground, node) as session:
                outcome = judge(lambda: _write(ground, session, *found))  # noqa: B023
        except RefusedHere as refused:
            outcome = Outcome(False, str(refused))
        verdict = verdict_of(outcome, "noted")
        yield ProbeResult(node.place, "cluster_worker_write", verdict, outcome.detail)


def _homes(ground: Ground, subject: Subject) -> Sequence[tuple[int, Any]]:
    """Tenants with rows of the subject's table, by the shard that these belong to; its own first,
    but for that any will do: on a node with one shard all tenants but those of it are others."""
    rows = ground.admin.execute(subject.compose(_TENANTS)).fetchall()
    tenants = sorted((tenant for (tenant,) in rows), key=lambda tenant: tenant != subject.own)
    return shards.homes(ground.admin, subject.table.name, tenants)


def misplaced(
    cluster: Cluster, subject: Subject, homes: Sequence[tuple[int, Any]], place: str
) -> tuple[Subject, Copy] | None:
    """A tenant, and a shard on the node that is not its own."""
    copies = [c for c in cluster.copies if c.node == place and c.relation == subject.table.name]
    pairs = ((home, tenant, copy) for home, tenant in homes for copy in copies)
    return next(
        (
            (replace(subject, own=tenant), copy)
            for home, tenant, copy in pairs
            if copy.shard not in (None, home)
        ),
        None,
    )


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
