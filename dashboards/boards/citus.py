"""Is the cluster whole, do queries go to one shard, is the load even? For servers with Citus."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.board import Rows, board
from dashboards.panels import AMBER, GREEN, RED, count, figure, listing, ranking, series, stacked
from dashboards.promql import of, or_none, per_second, ratio

_ABSENT = "This server has no Citus."
_NO_TENANTS = "No tenant was seen: no Citus, or citus.stat_tenants_track is none."


def build() -> Dashboard:
    """The board."""
    return board("citus", "Citus", str(__doc__), _rows())


def _rows() -> Rows:
    return {
        "Verdict": _verdict(),
        "Nodes and tables": _nodes(),
        "Queries": _queries(),
        "Tenants": _tenants(),
    }


def _verdict() -> Sequence[Builder[Panel]]:
    one, many = _rate("single_shard_queries_total"), _rate("multi_shard_queries_total")
    placements = of("citus_node_placements", role="worker")
    return [
        count(
            "Nodes out of use",
            "Nodes that the coordinator does not use, or that lack the cluster's metadata.",
            or_none(
                f"count(min by (node) ({of('citus_node_active')}"
                f" * {of('citus_node_metadata_synced')}) == 0)"
            ),
        ),
        figure(
            "Workers",
            "Nodes that take shards.",
            f"sum({of('citus_node_takes_shards')})",
            "short",
            empty=_ABSENT,
        ),
        figure(
            "Queries to many shards",
            "Share of queries that went to more than one shard: each costs every node, and no"
            " number of nodes makes more of them possible.",
            ratio(many, f"{one} + {many}"),
            "percentunit",
            ((0, GREEN), (0.05, AMBER), (0.2, RED)),
            empty="No distributed query ran, or there is no Citus.",
        ),
        figure(
            "Fullest worker",
            "Its shards, of the mean of all workers; 1 is even.",
            f"max({placements}) / avg({placements})",
            "none",
            ((0, GREEN), (1.25, AMBER), (1.5, RED)),
            empty=_ABSENT,
        ),
        count(
            "Waits across nodes",
            "Distributed queries that wait for a lock of another, on whatever node.",
            f"sum({of('citus_lock_waits')})",
            bad=AMBER,
            empty=_ABSENT,
        ),
        count(
            "Connections that failed",
            "To nodes, in the last hour.",
            f"sum(increase({of('citus_connections_failed_total')}[1h]))",
            empty=_ABSENT,
        ),
    ]


def _nodes() -> Sequence[Builder[Panel]]:
    return [
        listing(
            "Nodes",
            "The coordinator takes no shards, but has its copies of reference tables.",
            {
                "Shards": (f"max by (node, role) ({of('citus_node_placements')})", "short"),
                "Used": (f"min by (node, role) ({of('citus_node_active')})", "bool_yes_no"),
                "Metadata": (
                    f"min by (node, role) ({of('citus_node_metadata_synced')})",
                    "bool_yes_no",
                ),
                "Takes shards": (
                    f"min by (node, role) ({of('citus_node_takes_shards')})",
                    "bool_yes_no",
                ),
            },
            {"node": "Node", "role": "Role"},
            sort="Shards",
            width=12,
            height=8,
            empty=_ABSENT,
        ),
        listing(
            "Tables",
            "By how they are spread. One group of colocation is what joins between tables want.",
            {
                "Tables": (f"max by (kind) ({of('citus_tables')})", "short"),
                "Shards": (f"max by (kind) ({of('citus_shards')})", "short"),
                "Groups": (f"max by (kind) ({of('citus_colocation_groups')})", "short"),
            },
            {"kind": "Kind"},
            sort="Tables",
            width=12,
            height=8,
            empty=_ABSENT,
        ),
    ]


def _queries() -> Sequence[Builder[Panel]]:
    return [
        stacked(
            "Queries by how many shards they went to",
            "A second, of those that this node coordinated.",
            {
                "one shard": _rate("single_shard_queries_total"),
                "many shards": _rate("multi_shard_queries_total"),
            },
            "ops",
            empty=_ABSENT,
        ),
        series(
            "Connections to nodes",
            "A second: made anew, used again, and failed.",
            {
                "made": _rate("connections_established_total"),
                "used again": _rate("connections_reused_total"),
                "failed": _rate("connections_failed_total"),
            },
            "ops",
            empty=_ABSENT,
        ),
    ]


def _tenants() -> Sequence[Builder[Panel]]:
    return [
        series(
            "Share of CPU time",
            "Of the busiest tenants on all nodes, by rank, in the last whole period.",
            {"rank {{rank}}": f"max by (rank) ({of('citus_tenant_cpu_share')})"},
            "percentunit",
            empty=_NO_TENANTS,
        ),
        ranking(
            "Queries",
            "Of the busiest tenants on all nodes, by rank, in the last whole period.",
            ("rank {{rank}}", f"max by (rank) ({of('citus_tenant_queries')})"),
            "short",
            empty=_NO_TENANTS,
        ),
    ]


def _rate(column: str) -> str:
    return per_second(f"citus_{column}")
