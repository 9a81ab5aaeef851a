"""Takes dead rows out of tables with GiST indexes before statements go on.

PostgreSQL may lose entries of such an index (17.10: in 17 of 600 small tables after 21 updates). A
scan that ends before its page does, as a join to one row may, keeps in mind where on the page dead
rows stood; begun anew after that page was split, it marks as dead what stands there by now, and no
scan of the index finds that row any more. Where no transaction left dead rows there is nothing to
mark.
"""

from __future__ import annotations

from psycopg import sql

from harness.catalog.model import Name
from harness.db import Connection

_DEAD = """
    SELECT DISTINCT n.nspname::text, c.relname::text
    FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = x.relam AND a.amname = 'gist'
    JOIN pg_class AS c ON c.oid = i.indrelid AND c.relkind = 'r'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE pg_stat_get_dead_tuples(c.oid) > 0
    ORDER BY 1, 2"""
# Few dead rows are left in indexes otherwise; and nobody has to wait for an end that is cut off.
_SWEEP = sql.SQL("VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF, SKIP_LOCKED) {}")


def sweep(connection: Connection) -> None:
    """Vacuums what has dead rows and a GiST index; outside a transaction."""
    found = [Name(*row) for row in connection.execute(_DEAD.encode()).fetchall()]
    if found:
        tables = sql.SQL(", ").join(name.identifier for name in found)
        connection.execute(_SWEEP.format(tables))
