"""Whether a Citus cluster is whole."""

from __future__ import annotations

from dashboards.rule import Alert, Firing

_NODE = '{node="b:5432",role="worker"}'
_ABSENT = "The server has no Citus."

ALERTS = (
    Alert(
        name="CitusNodeOut",
        severity="page",
        value="citus_node_active * citus_node_metadata_synced",
        condition="== 0",
        summary="The {{ $labels.role }} {{ $labels.node }} is out of use",
        description="The coordinator does not use the node, or the node lacks the metadata:"
        " queries for tenants whose shards it has fail.",
        remedy="SELECT * FROM citus_check_cluster_node_health() says which connections work. When"
        " the node is back, citus_activate_node() takes it in again.",
        fires=Firing(
            {f"citus_node_active{_NODE}": "0x60", f"citus_node_metadata_synced{_NODE}": "1x60"},
            "The worker b:5432 is out of use",
            {"node": "b:5432", "role": "worker"},
        ),
        quiet={f"citus_node_active{_NODE}": "1x60", f"citus_node_metadata_synced{_NODE}": "1x60"},
        lasting="1m",
        absent=_ABSENT,
    ),
    Alert(
        name="CitusQueriesToManyShards",
        severity="ticket",
        value="harness:citus_many_shards:ratio5m",
        condition="> 0.2",
        summary="{{ $value | humanizePercentage }} of the queries go to many shards",
        description="Each of them costs every node: throughput falls with the number of shards"
        " instead of growing with the number of nodes.",
        remedy="EXPLAIN names the task count. A query that lacks `tenant column = …` beside row"
        " security is not sent to one shard; give it the condition.",
        fires=Firing(
            {
                "citus_single_shard_queries_total": "0+60x60",
                "citus_multi_shard_queries_total": "0+60x60",
            },
            "50% of the queries go to many shards",
        ),
        quiet={
            "citus_single_shard_queries_total": "0+60x60",
            "citus_multi_shard_queries_total": "0x60",
        },
        lasting="10m",
        absent=_ABSENT,
    ),
)
