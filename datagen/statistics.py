"""Keeps what the planner knows of tables young while statements fill them.

A table that nobody analyzed looks to the planner like one with a tenant in two hundred rows, and
one that was analyzed before a tenant came like one without any: both make plans whose time grows
with the square of the rows. Autovacuum comes once a minute, which no plan may depend on.
"""

from __future__ import annotations

from psycopg import sql

from harness.catalog.model import Name
from harness.db import Connection

CHANGED, SHARE = 200, 0.1
"""A table is analyzed when more rows than this and this share of it have changed."""

_STALE = """
    SELECT DISTINCT n.nspname, r.relname
    FROM pg_class AS c
    JOIN pg_class AS r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'harness')
      AND pg_stat_get_mod_since_analyze(c.oid) > %s + %s * greatest(c.reltuples, 0)
    ORDER BY 1, 2"""


def count(connection: Connection) -> None:
    """Has the server count by now what this session changed; else it does so within a minute."""
    connection.execute("SELECT pg_stat_force_next_flush()")


def renew(connection: Connection) -> None:
    """Analyzes the tables of which much is counted as changed since, but for those that another
    process analyzes; outside a transaction."""
    stale = [Name(*row) for row in connection.execute(_STALE, [CHANGED, SHARE])]
    if stale:
        tables = sql.SQL(", ").join(name.identifier for name in stale)
        # What another process analyzes just now is as young when it is done.
        connection.execute(sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(tables))


def complete(connection: Connection) -> None:
    """Analyzes every table; it waits for nobody who analyzes one just now, as autovacuum may."""
    connection.execute("ANALYZE (SKIP_LOCKED)")
    count(connection)
    renew(connection)
