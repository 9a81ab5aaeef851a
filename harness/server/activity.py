"""What a server counted over a time: read before and after, from PostgreSQL 17's own views.

Counters of other databases of the server are in what it counts as a whole (checkpoints, WAL,
I/O). Source: PostgreSQL 17 documentation, chapter 27.2, The Cumulative Statistics System.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

from psycopg.rows import dict_row

from harness.db import Target, connect
from harness.load_result import Counted

_QUESTIONS: Mapping[str, LiteralString] = {
    "database": """
        SELECT xact_commit AS "transactions committed", xact_rollback AS "transactions rolled back",
               blks_hit AS "blocks found in memory", blks_read AS "blocks read",
               tup_returned AS "rows scanned", tup_inserted AS "rows inserted",
               tup_updated AS "rows updated", tup_deleted AS "rows deleted",
               temp_bytes AS "temporary files, bytes", deadlocks
        FROM pg_stat_database WHERE datname = current_database()""",
    "tables": """
        SELECT sum(pg_stat_get_live_tuples(oid)) AS "live rows",
               sum(pg_stat_get_dead_tuples(oid)) AS "dead rows",
               sum(pg_stat_get_tuples_hot_updated(oid)) AS "rows updated in their page (HOT)",
               sum(pg_stat_get_numscans(oid)) AS "sequential scans",
               sum(pg_stat_get_autovacuum_count(oid)) AS "autovacuums",
               sum(pg_stat_get_autoanalyze_count(oid)) AS "autoanalyzes"
        FROM pg_class
        WHERE relkind IN ('r', 'm') AND relnamespace <> 'pg_catalog'::regnamespace""",
    "I/O of sessions": """
        SELECT sum(reads) AS "reads", sum(writes) AS "writes", sum(extends) AS "extends",
               sum(evictions) AS "evictions"
        FROM pg_stat_io WHERE backend_type = 'client backend' AND object = 'relation'""",
    "checkpoints": """
        SELECT num_timed AS "by time", num_requested AS "requested",
               buffers_written AS "blocks written"
        FROM pg_stat_checkpointer""",
    "WAL": """
        SELECT wal_records AS "records", wal_fpi AS "full page images", wal_bytes AS "bytes",
               wal_buffers_full AS "writes because buffers were full"
        FROM pg_stat_wal""",
}
"""Per group a statement of one row, whose columns are named as a reader reads them."""

Figures = Mapping[tuple[str, str], float]
"""By group and name."""


def read(target: Target) -> Figures:
    """What has been counted so far."""
    figures: dict[tuple[str, str], float] = {}
    with connect(target.admin) as connection, connection.cursor(row_factory=dict_row) as cursor:
        for group, question in _QUESTIONS.items():
            row = cursor.execute(question).fetchone() or {}
            figures |= {(group, name): float(value or 0) for name, value in row.items()}
    return figures


def between(before: Figures, after: Figures) -> tuple[Counted, ...]:
    """Both readings side by side."""
    return tuple(Counted(*key, before.get(key, 0.0), value) for key, value in after.items())
