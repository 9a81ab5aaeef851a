"""How much a database holds, by schema and by table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.catalog import live
from harness.db import Connection, Target, connect
from harness.errors import DatabaseError
from harness.volume import SchemaVolume, TableVolume, Volume

LARGEST = 20
"""So many tables are told one by one."""

_SIZES = """
SELECT n.nspname, root.relname, sum(pg_table_size(c.oid))::bigint,
       sum(pg_indexes_size(c.oid))::bigint
FROM pg_class AS c
JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_namespace AS n ON n.oid = root.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\\_%%'
  AND n.nspname <> ALL (%s)
GROUP BY n.nspname, root.relname
"""
# What the coordinator has of a distributed table is empty.
_SHARDS = """
SELECT n.nodename || ':' || n.nodeport, r.success, r.result
FROM run_command_on_all_nodes($command$
    SELECT coalesce(json_agg(ARRAY[told.schema, told.name, told.heap, told.indexes]), '[]')::text
    FROM (
        SELECT n.nspname::text AS schema, root.relname::text AS name,
               sum(pg_table_size(c.oid))::text AS heap, sum(pg_indexes_size(c.oid))::text AS indexes
        FROM pg_dist_shard AS s
        JOIN pg_dist_placement AS p USING (shardid)
        JOIN pg_dist_local_group AS here USING (groupid)
        JOIN pg_class AS l ON l.oid = s.logicalrelid
        JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(l.oid), l.oid)
        JOIN pg_namespace AS n ON n.oid = root.relnamespace
        CROSS JOIN LATERAL (
            SELECT parse_ident(shard_name(s.logicalrelid, s.shardid, false)) AS path
        ) AS q
        JOIN pg_class AS c ON c.relkind = 'r' AND c.relnamespace = l.relnamespace
                          AND c.relname = q.path[2]
        GROUP BY 1, 2
    ) AS told
$command$) AS r
JOIN pg_dist_node AS n USING (nodeid)
"""
# Of tables that all share, and where it holds others.
_SHARDS_HERE = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND relation_is_a_known_shard(c.oid)
"""
Row = tuple[str, str, int, int]
"""Schema, name, and the bytes of heap and indexes."""
_NOT_OF_THE_SCHEMA = ["information_schema", "harness"]


def measure(target: Target) -> Volume:
    """Sizes of tables with their partitions, and of materialized views."""
    with connect(target.admin) as connection:
        rows = connection.execute(_SIZES, [_NOT_OF_THE_SCHEMA]).fetchall()
        if live.has_citus(connection):
            rows = _with_shards(connection, rows)
    tables = [TableVolume(f"{schema}.{name}", *sizes) for schema, name, *sizes in rows]
    tables.sort(key=lambda table: (-table.bytes, table.table))
    return Volume(_by_schema(tables), tuple(tables[:LARGEST]))


def _with_shards(connection: Connection, rows: Iterable[Row]) -> list[Row]:
    """Tables with what the nodes of a cluster hold of them, every copy."""
    told = [(place, done, result) for place, done, result in connection.execute(_SHARDS)]
    if silent := [f"{place}: {result}" for place, done, result in told if not done]:
        raise DatabaseError(f"a node of the cluster does not tell its sizes: {silent[0]}")
    here = set(connection.execute(_SHARDS_HERE).fetchall())
    own = [row for row in rows if row[:2] not in here]
    return summed(own, [json.loads(result) for _, _, result in told])


def summed(rows: Iterable[Row], nodes: Iterable[Iterable[Sequence[str]]]) -> list[Row]:
    """Sizes by schema and name, those of all nodes added to the coordinator's own."""
    heap: Counter[tuple[str, str]] = Counter()
    indexes: Counter[tuple[str, str]] = Counter()
    of_nodes = [(s, n, int(h), int(i)) for node in nodes for s, n, h, i in node]
    for schema, name, of_heap, of_indexes in [*rows, *of_nodes]:
        heap[schema, name] += of_heap
        indexes[schema, name] += of_indexes
    return [(*key, size, indexes[key]) for key, size in heap.items()]


def _by_schema(tables: Iterable[TableVolume]) -> dict[str, SchemaVolume]:
    heap: dict[str, int] = {}
    indexes: dict[str, int] = {}
    for table in tables:
        schema = table.table.partition(".")[0]
        heap[schema] = heap.get(schema, 0) + table.heap_bytes
        indexes[schema] = indexes.get(schema, 0) + table.index_bytes
    return {schema: SchemaVolume(heap[schema], indexes[schema]) for schema in sorted(heap)}
