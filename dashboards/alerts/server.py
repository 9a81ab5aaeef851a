"""Whether PostgreSQL answers, and what keeps sessions waiting."""

from __future__ import annotations

from dashboards.rule import Alert, Firing

_COUNT = 'pg_stat_activity_count{datname="a",state="active"}'

ALERTS = (
    Alert(
        name="PostgresDown",
        severity="page",
        value="pg_up",
        condition="== 0",
        summary="PostgreSQL of {{ $labels.instance }} cannot be reached",
        description="The exporter could not connect, or the server did not answer in time.",
        remedy="Look at the server's log and at `harness doctor`. When the server is up, the"
        " exporter's role, its password or the limit of connections is what keeps it out.",
        fires=Firing(
            {'pg_up{instance="a"}': "0x60"},
            "PostgreSQL of a cannot be reached",
            {"instance": "a"},
        ),
        quiet={'pg_up{instance="a"}': "1x60"},
        lasting="1m",
    ),
    Alert(
        name="ConnectionsNearLimit",
        severity="page",
        value="harness:connections_used:ratio",
        condition="> 0.9",
        summary="{{ $value | humanizePercentage }} of the connections are taken",
        description="When all are, clients are refused.",
        remedy="On the board PostgreSQL see which states grew: `idle` asks for a pooler or a"
        " smaller pool, `idle in transaction` for the application that forgets to commit, `active`"
        " for what they wait for.",
        fires=Firing(
            {_COUNT: "15x60", "pg_settings_max_connections": "16x60"},
            "93.75% of the connections are taken",
        ),
        quiet={_COUNT: "8x60", "pg_settings_max_connections": "16x60"},
        lasting="5m",
    ),
    Alert(
        name="LockWaitLong",
        severity="page",
        value="pg_locks_longest_wait_seconds",
        condition="> 30",
        summary="A session has waited {{ $value | humanizeDuration }} for a lock",
        description="Requests queue behind a lock; on one that DDL asks for, everybody does.",
        remedy="`Who blocks` on the board PostgreSQL names the query or application that holds it."
        " End it with pg_terminate_backend when it will not end by itself; give migrations a"
        " lock_timeout.",
        fires=Firing(
            {'pg_locks_longest_wait_seconds{datname="a"}': "60x60"},
            "A session has waited 1m 0s for a lock",
            {"datname": "a"},
        ),
        quiet={'pg_locks_longest_wait_seconds{datname="a"}': "0x60"},
        lasting="1m",
    ),
    Alert(
        name="TransactionOpenLong",
        severity="ticket",
        value="max by (instance, datname) (pg_stat_activity_max_tx_duration)",
        condition="> 3600",
        summary="A transaction in {{ $labels.datname }} is open for"
        " {{ $value | humanizeDuration }}",
        description="Vacuum cannot remove what it may still see, in any table.",
        remedy="Find who forgot it (`idle in transaction`) or what runs so long; set"
        " idle_in_transaction_session_timeout.",
        fires=Firing(
            {'pg_stat_activity_max_tx_duration{datname="a",state="active"}': "7200x60"},
            "A transaction in a is open for 2h 0m 0s",
            {"datname": "a"},
        ),
        quiet={'pg_stat_activity_max_tx_duration{datname="a",state="active"}': "60x60"},
        lasting="5m",
    ),
    Alert(
        name="Deadlocks",
        severity="ticket",
        value="increase(pg_stat_database_deadlocks[15m])",
        condition="> 0",
        summary='{{ printf "%.0f" $value }} deadlocks in {{ $labels.datname }} within 15 minutes',
        description="Two transactions take the same locks in different order; one was cancelled.",
        remedy="The server's log has both statements. Let them lock rows in one order, as by key.",
        fires=Firing(
            {'pg_stat_database_deadlocks{datname="a"}': "0+2x60"},
            "30 deadlocks in a within 15 minutes",
            {"datname": "a"},
        ),
        quiet={'pg_stat_database_deadlocks{datname="a"}': "3x60"},
    ),
    Alert(
        name="ChecksumFailures",
        severity="page",
        value="pg_stat_database_checksum_failures_total",
        condition="> 0",
        summary="{{ $value }} pages of {{ $labels.datname }} have a wrong checksum",
        description="The disk, or what is between it and PostgreSQL, lost or changed data.",
        remedy="Do not restart. Keep a copy of the data directory, move to a replica or restore a"
        " backup to new hardware, and check with pg_checksums and amcheck.",
        fires=Firing(
            {'pg_stat_database_checksum_failures_total{datname="a"}': "1x60"},
            "1 pages of a have a wrong checksum",
            {"datname": "a"},
        ),
        quiet={'pg_stat_database_checksum_failures_total{datname="a"}': "0x60"},
        absent="Checksums are off.",
    ),
    Alert(
        name="NoisyTenant",
        severity="ticket",
        value='max by (instance, class) (harness_tenant_activity_share{rank="1"})',
        condition="> 0.8 and on (instance) max by (instance)"
        ' (harness_tenant_active_sessions{rank="1"}) >= 2',
        summary="One {{ $labels.class }} tenant has {{ $value | humanizePercentage }} of the"
        " sessions at work",
        description="The others wait for what one tenant does.",
        remedy="The report names it. See on the board Critical queries which"
        " statements take the time; limit its rate, or give it a shard of its own.",
        fires=Firing(
            {
                'harness_tenant_activity_share{rank="1",class="giant"}': "0.875x60",
                'harness_tenant_active_sessions{rank="1",class="giant"}': "7x60",
            },
            "One giant tenant has 87.5% of the sessions at work",
            {"class": "giant"},
        ),
        quiet={
            'harness_tenant_activity_share{rank="1",class="giant"}': "1x60",
            'harness_tenant_active_sessions{rank="1",class="giant"}': "0.5x60",
        },
        lasting="10m",
        absent="No tenant's session was seen at work.",
    ),
)
