"""Series that alerts and long-term storage ask for: shares and means over what is scraped."""

from __future__ import annotations

from dashboards.rule import Recording

_OBJECTIVE = 'query="hs.slots",objective="0.95"'

RECORDINGS = (
    Recording(
        name="harness:query_budget_used:ratio",
        about="Latency at the objective as a share of the budget; 1 is all of it.",
        expr="harness_query_latency_seconds"
        " / on (instance, job, query, objective) harness_query_budget_seconds",
        series={
            f"harness_query_latency_seconds{{{_OBJECTIVE}}}": "0.125x60",
            f"harness_query_budget_seconds{{{_OBJECTIVE}}}": "0.25x60",
        },
        samples={'{objective="0.95", query="hs.slots"}': 0.5},
        absent="The latest run loaded nothing.",
    ),
    Recording(
        name="harness:query_error_budget_used:ratio",
        about="Share of answers over the budget, of what the objective lets be over it.",
        expr="(1 - harness_query_within_budget_ratio)"
        " / on (query) group_left () harness:query_error_budget:ratio",
        series={
            'harness_query_within_budget_ratio{query="hs.slots"}': "0.75x60",
            'harness:query_error_budget:ratio{query="hs.slots"}': "0.125x60",
        },
        samples={'{query="hs.slots"}': 2.0},
        absent="The latest run loaded no query that these rules know.",
    ),
    Recording(
        name="harness:query_server_time:mean5m",
        about="Seconds of a call on the server, on average over five minutes.",
        expr='sum by (instance, query) (rate(pg_stat_statements_seconds_total{query!=""}[5m]))'
        ' / (sum by (instance, query) (rate(pg_stat_statements_calls_total{query!=""}[5m])) > 0)',
        series={
            'pg_stat_statements_seconds_total{query="hs.slots"}': "0+30x60",
            'pg_stat_statements_calls_total{query="hs.slots"}': "0+120x60",
        },
        samples={'{query="hs.slots"}': 0.25},
        absent="No critical query ran in the last minutes.",
    ),
    Recording(
        name="harness:connections_used:ratio",
        about="Client sessions of max_connections.",
        expr="sum by (instance) (pg_stat_activity_count)"
        " / on (instance) pg_settings_max_connections",
        series={
            'pg_stat_activity_count{datname="a",state="idle"}': "8x60",
            'pg_stat_activity_count{datname="b",state="idle"}': "4x60",
            "pg_settings_max_connections": "16x60",
        },
        samples={"{}": 0.75},
    ),
    Recording(
        name="harness:cache_hits:ratio5m",
        about="Share of blocks that shared buffers had, over five minutes.",
        expr="sum by (instance) (rate(pg_stat_database_blks_hit[5m]))"
        " / (sum by (instance) (rate(pg_stat_database_blks_hit[5m]))"
        " + sum by (instance) (rate(pg_stat_database_blks_read[5m])) > 0)",
        series={
            'pg_stat_database_blks_hit{datname="a"}': "0+180x60",
            'pg_stat_database_blks_read{datname="a"}': "0+60x60",
        },
        samples={"{}": 0.75},
        absent="No block was asked for.",
    ),
    Recording(
        name="harness:checkpoints_requested:ratio30m",
        about="Share of checkpoints that were requested rather than timed, over half an hour.",
        expr="rate(pg_stat_checkpointer_num_requested_total[30m])"
        " / (rate(pg_stat_checkpointer_num_requested_total[30m])"
        " + rate(pg_stat_checkpointer_num_timed_total[30m]) > 0)",
        series={
            "pg_stat_checkpointer_num_requested_total": "0+3x60",
            "pg_stat_checkpointer_num_timed_total": "0+1x60",
        },
        samples={"{}": 0.75},
        absent="There was no checkpoint.",
    ),
    Recording(
        name="harness:dead_rows:ratio",
        about="Share of the rows of a schema that vacuum has yet to remove.",
        expr="pg_stat_schema_dead_tup / (pg_stat_schema_live_tup + pg_stat_schema_dead_tup > 0)",
        series={
            'pg_stat_schema_dead_tup{schemaname="hs"}': "1x60",
            'pg_stat_schema_live_tup{schemaname="hs"}': "3x60",
        },
        samples={'{schemaname="hs"}': 0.25},
        absent="No table has rows yet.",
    ),
    Recording(
        name="harness:tables_proven:ratio",
        about="Share of the deployed tables of a schema whose isolation was attacked and held.",
        expr='sum by (instance, schema) (harness_schema_tables{state="isolated"})'
        " / on (instance, schema)"
        ' sum by (instance, schema) (harness_schema_tables{state="deployed"})',
        series={
            'harness_schema_tables{schema="hs",state="isolated"}': "3x60",
            'harness_schema_tables{schema="hs",state="deployed"}': "4x60",
        },
        samples={'{schema="hs"}': 0.75},
        absent="The latest run attacked nothing.",
    ),
    Recording(
        name="harness:citus_many_shards:ratio5m",
        about="Share of distributed queries that went to more than one shard, over five minutes.",
        expr="rate(citus_multi_shard_queries_total[5m])"
        " / (rate(citus_multi_shard_queries_total[5m])"
        " + rate(citus_single_shard_queries_total[5m]) > 0)",
        series={
            "citus_multi_shard_queries_total": "0+60x60",
            "citus_single_shard_queries_total": "0+180x60",
        },
        samples={"{}": 0.25},
        absent="The server has no Citus.",
    ),
)
