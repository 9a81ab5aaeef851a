"""Counts the rows of a cluster that lie in a shard which is not their tenant's.

Each node is asked about its own shards, many in one command; the rows themselves go nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from harness.catalog.cluster import Cluster, Copy
from harness.db import Connection
from harness.errors import DatabaseError

Progress = Callable[[int, int], None]
_SHARDS = 200
"""So many are counted by one command."""
_ON_NODE = "SELECT success, result FROM master_run_on_worker(%s, %s, %s, false)"
_COUNT = (
    "SELECT {shard} AS shard, count(*) AS strayed FROM {table}"
    " WHERE worker_hash({key}) NOT BETWEEN {least} AND {most}"
)
_STRAYED = (
    "SELECT coalesce(json_object_agg(shard, strayed), '{{}}')::text FROM ({counts}) AS counted"
    " WHERE strayed > 0"
)


def counted(
    connection: Connection, cluster: Cluster, on_progress: Progress = lambda *_: None
) -> Cluster:
    """The cluster with what was counted in each shard that is there; of a partitioned table in its
    partitions. Raises DatabaseError where a node cannot count."""
    found: dict[tuple[str, int | None], int] = {}
    shards = list(_shards(cluster))
    for done in range(0, len(shards), _SHARDS):
        on_progress(done, len(shards))
        for node, alike in _by_node(shards[done : done + _SHARDS]).items():
            strayed = _ask(connection, node, alike)
            found |= {(node, int(shard)): rows for shard, rows in strayed.items()}
    on_progress(len(shards), len(shards))
    return replace(
        cluster,
        copies=tuple(replace(c, strayed=found.get((c.node, c.shard), 0)) for c in cluster.copies),
    )


def _shards(cluster: Cluster) -> Iterator[tuple[Copy, str]]:
    """The shards in which rows are counted, with the column that places them."""
    divided = {relation.partition_of for relation in cluster.relations}
    for relation, copies in cluster.copies_of():
        spread = relation.distribution
        if spread is not None and spread.column is not None and relation.name not in divided:
            for copy in copies:
                if copy.hashes is not None and copy.protection is not None:
                    yield copy, spread.column


def _by_node(shards: Sequence[tuple[Copy, str]]) -> Mapping[str, list[sql.Composed]]:
    counts: dict[str, list[sql.Composed]] = {}
    for copy, column in shards:
        counts.setdefault(copy.node, []).append(_count(copy, column))
    return counts


def _count(copy: Copy, column: str) -> sql.Composed:
    least, most = copy.hashes or (0, 0)
    return sql.SQL(_COUNT).format(
        shard=copy.shard,
        table=copy.name.identifier,
        key=sql.Identifier(column),
        least=least,
        most=most,
    )


def _ask(connection: Connection, node: str, counts: Sequence[sql.Composed]) -> dict[str, int]:
    """Rows by shard, of those that hold any."""
    host, _, port = node.rpartition(":")
    query = sql.SQL(_STRAYED).format(counts=sql.SQL(" UNION ALL ").join(counts)).as_string()
    row = connection.execute(_ON_NODE, [[host], [int(port)], [query]]).fetchone()
    success, result = row or (False, "no answer")
    if not success:
        raise DatabaseError(f"node {node} cannot count its rows: {' '.join(result.split())}")
    answer: dict[str, int] = json.loads(result)
    return answer
