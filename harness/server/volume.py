"""How much a database holds, by schema and by table."""

from __future__ import annotations

from collections.abc import Iterable

from harness.db import Target, connect
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
_NOT_OF_THE_SCHEMA = ["information_schema", "harness"]


def measure(target: Target) -> Volume:
    """Sizes of tables with their partitions, and of materialized views."""
    with connect(target.admin) as connection:
        rows = connection.execute(_SIZES, [_NOT_OF_THE_SCHEMA]).fetchall()
    tables = [TableVolume(f"{schema}.{name}", *sizes) for schema, name, *sizes in rows]
    tables.sort(key=lambda table: (-table.bytes, table.table))
    return Volume(_by_schema(tables), tuple(tables[:LARGEST]))


def _by_schema(tables: Iterable[TableVolume]) -> dict[str, SchemaVolume]:
    heap: dict[str, int] = {}
    indexes: dict[str, int] = {}
    for table in tables:
        schema = table.table.partition(".")[0]
        heap[schema] = heap.get(schema, 0) + table.heap_bytes
        indexes[schema] = indexes.get(schema, 0) + table.index_bytes
    return {schema: SchemaVolume(heap[schema], indexes[schema]) for schema in sorted(heap)}
