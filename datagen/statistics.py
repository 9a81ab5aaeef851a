"""Keeps what the planner knows of tables young while statements fill them.

A table that nobody analyzed looks to the planner like one with a tenant in two hundred rows, and
one that was analyzed before a tenant came like one without any: both make plans whose time grows
with the square of the rows. Autovacuum comes once a minute, which no plan may depend on.
"""

from __future__ import annotations

from datagen.node import Node, Server
from harness.catalog.model import Name
from harness.db import Connection

CHANGED, SHARE = 20, 0.1
"""A table is analyzed when more rows than this and this share of it have changed."""

_STALE = """
    SELECT DISTINCT ARRAY[n.nspname, r.relname]::text[]
    FROM pg_class AS c
    JOIN pg_class AS r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'harness')
      AND pg_stat_get_mod_since_analyze(c.oid) > {changed} + {share} * greatest(c.reltuples, 0)
    ORDER BY 1"""


def count(node: Node) -> None:
    """Has a node count by now what this session changed; else it does so within a minute."""
    node.run("SELECT pg_stat_force_next_flush()")


def renew(node: Node) -> None:
    """Analyzes the tables of a node of which much is counted as changed since, but for those that
    autovacuum is at; outside a transaction."""
    stale = [Name(*row) for row in node.told(_STALE.format(changed=CHANGED, share=SHARE))]
    if stale:
        tables = ", ".join(name.identifier.as_string(node.connection) for name in stale)
        # What autovacuum analyzes just now is as young when it is done.
        node.run(f"ANALYZE (SKIP_LOCKED) {tables}")


def complete(connection: Connection) -> None:
    """Analyzes every table; it waits for nobody who analyzes one just now, as autovacuum may."""
    connection.execute("ANALYZE (SKIP_LOCKED)")
    node = Server(connection)
    count(node)
    renew(node)
