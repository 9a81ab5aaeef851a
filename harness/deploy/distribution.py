"""Which tables of a cluster's coordinator are local still, and how each is to be distributed.

A table with the tenant column is distributed by it, all of them in one colocation group, so that
what one tenant asks is answered by one shard of each table, on one node. A table without one is
the same for all tenants: it is copied to every node, as a reference table. Partitions go with
their parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from harness.catalog.model import Name
from harness.config import Tenancy
from harness.db import Connection
from harness.errors import SchemaError


@dataclass(frozen=True, slots=True)
class LocalTable:
    """A table that only the coordinator knows."""

    name: Name
    columns: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()
    """The columns of its primary key."""
    refers_to: frozenset[Name] = frozenset()
    """Tables that its foreign keys refer to, but for itself."""


# In the order of their making. Parts of an extension, and what the harness notes, stay local.
_LOCAL = """
SELECT n.nspname, c.relname,
       ARRAY(SELECT attname::text FROM pg_attribute
             WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
       ARRAY(SELECT a.attname::text FROM pg_index AS i
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = c.oid AND i.indisprimary),
       ARRAY(SELECT ARRAY[rn.nspname::text, r.relname::text] FROM pg_constraint AS k
             JOIN pg_class AS r ON r.oid = k.confrelid
             JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
             WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'harness')
  AND NOT EXISTS (SELECT FROM pg_dist_partition AS d WHERE d.logicalrelid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.oid
"""
_FIRST = """
SELECT logicalrelid::regclass::text FROM pg_dist_partition
WHERE partmethod = 'h' ORDER BY logicalrelid::oid LIMIT 1
"""
_DISTRIBUTE = "SELECT create_distributed_table(%s::regclass, %s, colocate_with => %s)"
_COPY = "SELECT create_reference_table(%s::regclass)"


def local_tables(connection: Connection) -> list[LocalTable]:
    """The tables that are not distributed, in the order of their making."""
    return [
        LocalTable(
            Name(schema, name),
            frozenset(columns),
            tuple(key),
            frozenset(Name(*other) for other in refers_to),
        )
        for schema, name, columns, key, refers_to in connection.execute(_LOCAL.encode())
    ]


def in_order(tables: Sequence[LocalTable]) -> list[LocalTable]:
    """The tables, each after those that it refers to and otherwise as they were made.

    Raises SchemaError where keys go round: a key that closes a circle is added by a statement of
    its own, ALTER TABLE … ADD FOREIGN KEY, when both tables are there.
    """
    known = {table.name: table for table in tables}
    waiting: Mapping[Name, list[Name]] = {
        name: [other for other in known if other in table.refers_to]
        for name, table in known.items()
    }
    try:
        return [known[name] for name in TopologicalSorter(waiting).static_order()]
    except CycleError as error:
        circle = " → ".join(map(str, reversed(error.args[1])))
        raise SchemaError(
            f"foreign keys go round: {circle}; add the last of them by a statement of its own, "
            "ALTER TABLE … ADD FOREIGN KEY, after the tables"
        ) from None


def tenant_column(table: LocalTable, tenancy: Tenancy) -> str | None:
    """The column by which a table is distributed; None for one that all tenants share.

    The table of tenants may name its tenant by its key alone.
    """
    if tenancy.column in table.columns:
        return tenancy.column
    if str(table.name) == tenancy.root_table and len(table.key) == 1:
        return table.key[0]
    return None


def distribute(connection: Connection, table: LocalTable, tenancy: Tenancy) -> None:
    """Distributes one table, or copies it to all nodes; psycopg.Error where Citus refuses."""
    qualified = table.name.identifier.as_string(connection)
    column = tenant_column(table, tenancy)
    if column is None:
        connection.execute(_COPY, [qualified])
        return
    first = connection.execute(_FIRST).fetchone()
    connection.execute(_DISTRIBUTE, [qualified, column, first[0] if first else "none"])
