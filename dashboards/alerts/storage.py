"""Whether what PostgreSQL writes is kept, cleaned up and copied in time."""

from __future__ import annotations

from dashboards.rule import Alert, Firing

_TIMED = "pg_stat_checkpointer_num_timed_total"
_REQUESTED = "pg_stat_checkpointer_num_requested_total"
_GIB = 2**30

ALERTS = (
    Alert(
        name="WraparoundNear",
        severity="page",
        value="pg_database_wraparound_share",
        condition="> 0.5",
        summary="{{ $labels.datname }} used {{ $value | humanizePercentage }} of its transaction"
        " ids",
        description="At 100 % PostgreSQL accepts no more writes until everything is vacuumed.",
        remedy="`What holds vacuum back` on the board Tables and vacuum shows who keeps an old"
        " snapshot; end it, then VACUUM (FREEZE) the oldest tables.",
        fires=Firing(
            {'pg_database_wraparound_share{datname="a"}': "0.75x60"},
            "a used 75% of its transaction ids",
            {"datname": "a"},
        ),
        quiet={'pg_database_wraparound_share{datname="a"}': "0.25x60"},
    ),
    Alert(
        name="VacuumHeldBack",
        severity="ticket",
        value="pg_vacuum_horizon_age_transactions",
        condition="> 1e7",
        summary="A {{ $labels.holder }} keeps vacuum {{ $value | humanize }} transactions behind",
        description="Rows that nobody needs stay; tables and indexes grow, reads slow down.",
        remedy="A session that is open for long, a prepared transaction that nobody ends, or a"
        " replication slot that nobody reads: end, roll back or drop it.",
        fires=Firing(
            {'pg_vacuum_horizon_age_transactions{holder="slot"}': "2e7x120"},
            "A slot keeps vacuum 20M transactions behind",
            {"holder": "slot"},
        ),
        quiet={'pg_vacuum_horizon_age_transactions{holder="slot"}': "1000x120"},
        lasting="30m",
        absent="Nothing holds vacuum back.",
    ),
    Alert(
        name="DeadRows",
        severity="ticket",
        value="harness:dead_rows:ratio",
        condition="> 0.3 and on (instance, schemaname) pg_stat_schema_dead_tup > 1e4",
        summary="{{ $value | humanizePercentage }} of the rows of {{ $labels.schemaname }} are"
        " dead",
        description="Vacuum does not keep up with updates and deletes.",
        remedy="See whether something holds vacuum back; if not, let it work more: lower"
        " autovacuum_vacuum_scale_factor of the tables on the board, raise"
        " autovacuum_vacuum_cost_limit.",
        fires=Firing(
            {
                'pg_stat_schema_dead_tup{schemaname="hs"}': "30000x60",
                'pg_stat_schema_live_tup{schemaname="hs"}': "30000x60",
            },
            "50% of the rows of hs are dead",
            {"schemaname": "hs"},
        ),
        quiet={
            'pg_stat_schema_dead_tup{schemaname="hs"}': "30x60",
            'pg_stat_schema_live_tup{schemaname="hs"}': "30x60",
        },
        lasting="30m",
        absent="No table has rows yet.",
    ),
    Alert(
        name="CheckpointsRequested",
        severity="ticket",
        value="harness:checkpoints_requested:ratio30m",
        condition="> 0.5",
        summary="{{ $value | humanizePercentage }} of the checkpoints were requested",
        description="WAL fills max_wal_size before checkpoint_timeout: checkpoints come too often,"
        " and each makes the next writes log whole pages.",
        remedy="Raise max_wal_size until most checkpoints are timed. During a fill it is normal.",
        fires=Firing(
            {_TIMED: "0+1x120", _REQUESTED: "0+3x120"}, "75% of the checkpoints were requested"
        ),
        quiet={_TIMED: "0+3x120", _REQUESTED: "0+1x120"},
        lasting="30m",
        absent="There was no checkpoint.",
    ),
    Alert(
        name="ReplicaLags",
        severity="ticket",
        value='pg_stat_replication_lag_seconds{stage="replay"}',
        condition="> 60",
        summary="{{ $labels.application_name }} is {{ $value | humanizeDuration }} behind",
        description="Readers of the replica see old rows; a failover would lose them where"
        " replication is asynchronous.",
        remedy="A query on the replica that conflicts with replay, a slow disk or network, or a"
        " burst of WAL (see the board PostgreSQL).",
        fires=Firing(
            {'pg_stat_replication_lag_seconds{application_name="b",stage="replay"}': "120x60"},
            "b is 2m 0s behind",
            {"application_name": "b", "stage": "replay"},
        ),
        quiet={'pg_stat_replication_lag_seconds{application_name="b",stage="replay"}': "0x60"},
        lasting="5m",
        absent="The server has no replica.",
    ),
    Alert(
        name="SlotKeepsWal",
        severity="ticket",
        value="pg_replication_slots_pg_wal_lsn_diff",
        condition=f"> {10 * _GIB}",
        summary="The slot {{ $labels.slot_name }} keeps {{ $value | humanize1024 }}B of WAL",
        description="Nobody reads the slot, or not fast enough; it fills the disk.",
        remedy="Start its reader again, or drop it (pg_drop_replication_slot) when nobody needs it;"
        " set max_slot_wal_keep_size.",
        fires=Firing(
            {'pg_replication_slots_pg_wal_lsn_diff{slot_name="s"}': f"{16 * _GIB}x60"},
            "The slot s keeps 16GiB of WAL",
            {"slot_name": "s"},
        ),
        quiet={'pg_replication_slots_pg_wal_lsn_diff{slot_name="s"}': f"{_GIB}x60"},
        absent="The server has no slot.",
    ),
    Alert(
        name="ArchivingFails",
        severity="ticket",
        value="increase(pg_stat_archiver_failed_count[15m])",
        condition="> 0",
        summary='Archiving failed {{ printf "%.0f" $value }} times in 15 minutes',
        description="WAL that is not archived is kept and fills the disk; backups cannot be"
        " brought forward to a moment.",
        remedy="The server's log has the answer of archive_command. Take a new base backup when WAL"
        " was lost.",
        fires=Firing(
            {"pg_stat_archiver_failed_count": "0+1x60"}, "Archiving failed 15 times in 15 minutes"
        ),
        quiet={"pg_stat_archiver_failed_count": "2x60"},
        absent="WAL is not archived.",
    ),
)
