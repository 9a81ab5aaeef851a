"""What tables and their upkeep cost: size, scans, dead rows, vacuum, progress and replication."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.board import Rows, board, several
from dashboards.panels import AMBER, GREEN, RED, count, figure, listing, ranking, series
from dashboards.promql import of, per_second, ratio, top

_ALONE = "The server has no replica and no slot."
_NO_TABLE = "No table has rows yet."


def build() -> Dashboard:
    """The board."""
    schema = several(
        "schema",
        "Schema",
        "Schemas that have tables.",
        "label_values(pg_stat_schema_tables, schemaname)",
    )
    return board("storage", "Tables and vacuum", str(__doc__), _rows(), [schema])


def _rows() -> Rows:
    return {
        "Verdict": _verdict(),
        "Schemas": _schemas(),
        "Tables": _tables(),
        "Vacuum": _vacuum(),
        "Commands under way": _progress(),
        "Replication": _replication(),
    }


def _verdict() -> Sequence[Builder[Panel]]:
    dead, live = _schema("dead_tup"), _schema("live_tup")
    return [
        figure(
            "Size",
            "Tables and indexes without TOAST, as VACUUM or ANALYZE last saw them.",
            f"sum({_schema('size_bytes')}) + sum({_schema('index_size_bytes')})",
            "bytes",
        ),
        figure("Tables", "How many there are.", f"sum({_schema('tables')})", "short"),
        figure(
            "Dead rows",
            "Share of rows that vacuum has yet to remove.",
            ratio(f"sum({dead})", f"sum({live}) + sum({dead})"),
            "percentunit",
            ((0, GREEN), (0.1, AMBER), (0.3, RED)),
            empty=_NO_TABLE,
        ),
        count(
            "Tables never analyzed",
            "Tables with rows that the planner knows nothing of.",
            f"sum({_schema('never_analyzed_tables')})",
            bad=AMBER,
        ),
        figure(
            "Autovacuum workers",
            "Those at work of autovacuum_max_workers.",
            ratio(
                f"sum({of('pg_stat_activity_autovacuum_workers')})",
                f"sum({of('pg_settings_autovacuum_max_workers')})",
            ),
            "percentunit",
            ((0, GREEN), (1, AMBER)),
        ),
        figure(
            "Transaction ids used",
            "Share of the 2^31 transaction ids before PostgreSQL stops to prevent wraparound.",
            f"max({of('pg_database_wraparound_share')})",
            "percentunit",
            ((0, GREEN), (0.25, AMBER), (0.5, RED)),
        ),
    ]


def _schemas() -> Sequence[Builder[Panel]]:
    return [
        listing(
            "Schemas",
            "Sizes are of the last VACUUM or ANALYZE. Dead rows wait for the former, changed rows"
            " for the latter; unused indexes were never scanned since statistics began.",
            {
                "Size": (f"sum by (schemaname) ({_schema('size_bytes')})", "bytes"),
                "Indexes' size": (
                    f"sum by (schemaname) ({_schema('index_size_bytes')})",
                    "bytes",
                ),
                "Tables": (f"sum by (schemaname) ({_schema('tables')})", "short"),
                "Unused indexes": (
                    f"sum by (schemaname) ({_schema('unused_indexes')})",
                    "short",
                ),
                "Live rows": (f"sum by (schemaname) ({_schema('live_tup')})", "short"),
                "Dead rows": (f"sum by (schemaname) ({_schema('dead_tup')})", "short"),
                "Changed rows": (f"sum by (schemaname) ({_schema('mod_since_analyze')})", "short"),
            },
            {"schemaname": "Schema"},
            sort="Size",
            width=12,
        ),
        series(
            "Rows read by sequential scans",
            "A second, by schema: what an index would have spared, where tables are large.",
            {"{{schemaname}}": _schema_rate("seq_tup_read_total")},
            "ops",
            height=10,
        ),
        series(
            "Rows written",
            "Inserted, updated and deleted a second, over the chosen schemas.",
            {
                "inserted": f"sum({_schema_rate('tup_ins_total')})",
                "updated": f"sum({_schema_rate('tup_upd_total')})",
                "deleted": f"sum({_schema_rate('tup_del_total')})",
            },
            "ops",
        ),
        series(
            "Cache hits",
            "Share of blocks of tables that shared buffers had, by schema.",
            {
                "{{schemaname}}": ratio(
                    _schema_rate("blks_hit_total"),
                    f"{_schema_rate('blks_hit_total')} + {_schema_rate('blks_read_total')}",
                )
            },
            "percentunit",
            empty="No block was asked for.",
        ),
    ]


def _tables() -> Sequence[Builder[Panel]]:
    name = "{{schemaname}}.{{relname}}"
    return [
        ranking(
            "Largest tables",
            "Without indexes. The exporter names the largest and sums up the others.",
            (name, top(_table("table_size_bytes"))),
            "bytes",
            empty=_NO_TABLE,
        ),
        ranking(
            "Dead rows by table",
            "Rows that vacuum has yet to remove.",
            (name, top(_table("n_dead_tup"))),
            "short",
            empty=_NO_TABLE,
        ),
        ranking(
            "Sequential scans by table",
            "Rows a second that were read by them.",
            (name, top(_table_rate("seq_tup_read"))),
            "ops",
            empty=_NO_TABLE,
        ),
        ranking(
            "Updates that were not HOT",
            "Share of updates that had to touch every index: fillfactor or an index too many.",
            (name, top(f"1 - {ratio(_table_rate('n_tup_hot_upd'), _table_rate('n_tup_upd'))}")),
            "percentunit",
            empty="No row was updated.",
        ),
    ]


def _vacuum() -> Sequence[Builder[Panel]]:
    return [
        series(
            "Dead rows",
            "Rows that vacuum has yet to remove, by schema.",
            {"{{schemaname}}": f"sum by (schemaname) ({_schema('dead_tup')})"},
            "short",
            width=8,
        ),
        series(
            "Autovacuum workers",
            "Those at work, and how many there may be.",
            {
                "at work": f"sum({of('pg_stat_activity_autovacuum_workers')})",
                "limit": f"sum({of('pg_settings_autovacuum_max_workers')})",
            },
            "short",
            width=8,
        ),
        series(
            "What holds vacuum back",
            "Transactions since the oldest snapshot that somebody holds, by who holds it.",
            {"{{holder}}": f"max by (holder) ({of('pg_vacuum_horizon_age_transactions')})"},
            "short",
            width=8,
            empty="Nothing holds vacuum back.",
        ),
    ]


def _progress() -> Sequence[Builder[Panel]]:
    return [
        listing(
            "Commands under way",
            "VACUUM, CREATE INDEX, COPY, ANALYZE, CLUSTER and base backups: how far each is.",
            {
                "Done": (
                    "max by (command, datname, schemaname, relname, phase)"
                    f" ({of('harness_progress_ratio')})",
                    "percentunit",
                )
            },
            {
                "command": "Command",
                "datname": "Database",
                "schemaname": "Schema",
                "relname": "Table",
                "phase": "Phase",
            },
            sort="Done",
            height=6,
            empty="No such command is under way.",
        )
    ]


def _replication() -> Sequence[Builder[Panel]]:
    return [
        series(
            "Lag of replicas",
            "How long ago what each replica has reached was written, by stage.",
            {
                "{{application_name}} {{stage}}": (
                    f"max by (application_name, stage) ({of('pg_stat_replication_lag_seconds')})"
                )
            },
            "s",
            width=8,
            empty=_ALONE,
        ),
        series(
            "WAL kept for slots",
            "Bytes that a slot keeps from being removed.",
            {
                "{{slot_name}}": (
                    f"max by (slot_name) ({of('pg_replication_slots_pg_wal_lsn_diff')})"
                )
            },
            "bytes",
            width=8,
            empty=_ALONE,
        ),
        series(
            "Archiving",
            "WAL files a minute that were archived, and attempts that failed.",
            {
                "archived": f"60 * {per_second('pg_stat_archiver_archived_count')}",
                "failed": f"60 * {per_second('pg_stat_archiver_failed_count')}",
            },
            "short",
            width=8,
            empty="WAL is not archived.",
        ),
    ]


def _schema(column: str) -> str:
    return of(f"pg_stat_schema_{column}", schemaname="$schema")


def _schema_rate(column: str) -> str:
    return per_second(f"pg_stat_schema_{column}", by="schemaname", schemaname="$schema")


def _table(column: str) -> str:
    chosen = of(f"pg_stat_user_tables_{column}", schemaname="$schema")
    return f"sum by (schemaname, relname) ({chosen})"


def _table_rate(column: str) -> str:
    return per_second(
        f"pg_stat_user_tables_{column}", by="schemaname, relname", schemaname="$schema"
    )
