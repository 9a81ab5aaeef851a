"""How the server is: work, waits, locks, files, WAL, vacuum and replication of PostgreSQL 17."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.board import Rows, board, several
from dashboards.panels import AMBER, GREEN, RED, count, figure, ranking, series, stacked, verdict
from dashboards.promql import of, per_second, ratio, top

_DATABASE = "$database"
_UNREAD = "No block was asked for."


def build() -> Dashboard:
    """The board."""
    database = several(
        "database",
        "Database",
        "Databases of the server.",
        "label_values(pg_stat_database_xact_commit, datname)",
    )
    return board("postgres", "PostgreSQL", str(__doc__), _rows(), [database])


def _rows() -> Rows:
    return {
        "Verdict": _verdict(),
        "Work": _work(),
        "Sessions and waits": _waits(),
        "Locks": _locks(),
        "Reading and writing": _io(),
        "WAL and checkpoints": _wal(),
    }


def _verdict() -> Sequence[Builder[Panel]]:
    return [
        verdict(
            "Server",
            "Whether the exporter reached PostgreSQL at its latest scrape.",
            f"min({of('pg_up')})",
            {1: ("✓ up", GREEN), 0: ("✗ down", RED)},
            width=3,
        ),
        figure(
            "Sessions of the limit",
            "Client sessions of max_connections.",
            ratio(
                f"sum({of('pg_stat_activity_count')})", f"sum({of('pg_settings_max_connections')})"
            ),
            "percentunit",
            ((0, GREEN), (0.7, AMBER), (0.9, RED)),
            width=3,
        ),
        figure(
            "Longest wait for a lock",
            "How long the session has waited that has waited longest.",
            f"max({of('pg_locks_longest_wait_seconds')})",
            "s",
            ((0, GREEN), (1, AMBER), (30, RED)),
            width=3,
        ),
        figure(
            "Oldest transaction",
            "Age of the oldest open transaction: vacuum cannot remove what it may still see.",
            f"max({of('pg_stat_activity_max_tx_duration', datname=_DATABASE)})",
            "s",
            ((0, GREEN), (300, AMBER), (3600, RED)),
            width=3,
        ),
        figure(
            "Transaction ids used",
            "Share of the 2^31 transaction ids before PostgreSQL stops to prevent wraparound.",
            f"max({of('pg_database_wraparound_share')})",
            "percentunit",
            ((0, GREEN), (0.25, AMBER), (0.5, RED)),
            width=3,
        ),
        count(
            "Deadlocks",
            "In the last hour.",
            f"sum(increase({of('pg_stat_database_deadlocks', datname=_DATABASE)}[1h]))",
            width=3,
            bad=AMBER,
        ),
        count(
            "Checksum failures",
            "Pages whose checksum was wrong, since statistics began: a disk that loses data.",
            f"sum({of('pg_stat_database_checksum_failures_total')})",
            width=3,
            empty="Checksums are off.",
        ),
        figure(
            "Statements remembered",
            "Entries of pg_stat_statements of its limit: above it the rarest are forgotten.",
            ratio(
                f"sum({of('pg_stat_statements_entries')})", f"sum({of('pg_stat_statements_max')})"
            ),
            "percentunit",
            ((0, GREEN), (0.9, AMBER)),
            width=3,
            empty="pg_stat_statements is not there.",
        ),
    ]


def _work() -> Sequence[Builder[Panel]]:
    hits, reads = _database("blks_hit"), _database("blks_read")
    return [
        series(
            "Transactions",
            "A second, by how they ended.",
            {"committed": _database("xact_commit"), "rolled back": _database("xact_rollback")},
            "ops",
            width=8,
        ),
        series(
            "Rows written",
            "Rows inserted, updated and deleted a second.",
            {
                "inserted": _database("tup_inserted"),
                "updated": _database("tup_updated"),
                "deleted": _database("tup_deleted"),
            },
            "ops",
            width=8,
        ),
        series(
            "Cache hits",
            "Share of blocks that shared buffers had.",
            {"hits": ratio(hits, f"{hits} + {reads}")},
            "percentunit",
            width=8,
            empty=_UNREAD,
        ),
        ranking(
            "Statements by time",
            "Seconds that statements ran for, a second. Statements of the harness have its names.",
            (
                "{{query}} {{queryid}}",
                top(per_second("pg_stat_statements_seconds_total", by="query, queryid")),
            ),
            "s",
            empty="pg_stat_statements is not there.",
        ),
        series(
            "Temporary files",
            "Bytes a second that did not fit into work_mem.",
            {"{{datname}}": _database("temp_bytes", by="datname")},
            "Bps",
        ),
    ]


def _waits() -> Sequence[Builder[Panel]]:
    return [
        stacked(
            "Sessions by state",
            "Client sessions; `idle in transaction` holds locks and snapshots.",
            {
                "{{state}}": (
                    f"sum by (state) ({of('pg_stat_activity_count', datname=_DATABASE)})"
                ),
            },
            "short",
        ),
        stacked(
            "What sessions do",
            "Sessions that run (CPU) or wait, by kind: the tallest part is where to look.",
            {"{{wait_event_type}}": f"sum by (wait_event_type) ({of('pg_stat_activity_waits')})"},
            "short",
            empty="No session runs or waits.",
        ),
        ranking(
            "Waits",
            "What most sessions wait for now, as PostgreSQL describes it.",
            (
                "{{wait_event_type}} {{wait_event}}: {{description}}",
                top(
                    "sum by (wait_event_type, wait_event, description)"
                    f" ({of('pg_stat_activity_waits')})"
                ),
            ),
            "short",
            width=24,
            empty="No session runs or waits.",
        ),
    ]


def _locks() -> Sequence[Builder[Panel]]:
    return [
        series(
            "Waiting for locks",
            "Sessions that wait for a lock.",
            {"{{datname}}": f"sum by (datname) ({of('pg_locks_waiting', datname=_DATABASE)})"},
            "short",
            width=8,
        ),
        series(
            "Locks held",
            "By mode; AccessExclusiveLock keeps everybody out.",
            {"{{mode}}": f"sum by (mode) ({of('pg_locks_count', datname=_DATABASE)})"},
            "short",
            width=8,
        ),
        ranking(
            "Who blocks",
            "Sessions that wait, by who they wait for: its query or application, and its state.",
            (
                "{{blocker}} {{application}} ({{state}})",
                f"sum by (blocker, application, state) ({of('pg_locks_blocked_sessions')})",
            ),
            "short",
            width=8,
            empty="✓ Nobody blocks.",
        ),
    ]


def _io() -> Sequence[Builder[Panel]]:
    return [
        stacked(
            "Reads",
            "A second, by who reads: not out of shared buffers, maybe out of the system's cache.",
            {"{{backend_type}}": _io_per_second("reads_total", "backend_type")},
            "ops",
        ),
        stacked(
            "Writes",
            "A second, by who writes; backends that write themselves wait for it.",
            {"{{backend_type}}": _io_per_second("writes_total", "backend_type")},
            "ops",
        ),
        series(
            "Evictions",
            "Buffers a second that had to make room: shared buffers are too small for the work.",
            {"{{context}}": _io_per_second("evictions_total", "context")},
            "ops",
        ),
        series(
            "Time of a read or write",
            "Mean of an operation; needs track_io_timing.",
            {
                "read, {{context}}": ratio(
                    _io_per_second("read_seconds_total", "context"),
                    _io_per_second("reads_total", "context"),
                ),
                "write, {{context}}": ratio(
                    _io_per_second("write_seconds_total", "context"),
                    _io_per_second("writes_total", "context"),
                ),
            },
            "s",
            empty="Nothing was read or written.",
        ),
    ]


def _wal() -> Sequence[Builder[Panel]]:
    return [
        series(
            "WAL",
            "Bytes that are logged, a second.",
            {"WAL": per_second("pg_stat_wal_bytes_total")},
            "Bps",
            width=8,
        ),
        series(
            "Records and page images",
            "WAL records a second, and images of whole pages: many follow each checkpoint.",
            {
                "records": per_second("pg_stat_wal_records_total"),
                "page images": per_second("pg_stat_wal_fpi_total"),
            },
            "ops",
            width=8,
        ),
        series(
            "WAL on disk",
            "Size of pg_wal: what checkpoints and replication slots keep.",
            {"pg_wal": f"sum({of('pg_wal_size_bytes')})"},
            "bytes",
            width=8,
        ),
        series(
            "Checkpoints",
            "An hour; requested ones mean that max_wal_size is too small for the work.",
            {
                "timed": f"3600 * {per_second('pg_stat_checkpointer_num_timed_total')}",
                "requested": f"3600 * {per_second('pg_stat_checkpointer_num_requested_total')}",
            },
            "short",
            width=8,
        ),
        series(
            "Time in checkpoints",
            "Share of the time that the checkpointer writes and synchronizes files.",
            {
                "write": per_second("pg_stat_checkpointer_write_seconds_total"),
                "sync": per_second("pg_stat_checkpointer_sync_seconds_total"),
            },
            "percentunit",
            width=8,
        ),
        series(
            "Buffers written",
            "Buffers a second, by the checkpointer and the background writer.",
            {
                "checkpointer": per_second("pg_stat_checkpointer_buffers_written_total"),
                "background writer": per_second("pg_stat_bgwriter_buffers_clean_total"),
            },
            "ops",
            width=8,
        ),
    ]


def _database(column: str, by: str = "") -> str:
    return per_second(f"pg_stat_database_{column}", by=by, datname=_DATABASE)


def _io_per_second(column: str, by: str) -> str:
    return per_second(f"pg_stat_io_{column}", by=by)
