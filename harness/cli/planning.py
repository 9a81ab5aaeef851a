"""harness plan: a distributed cluster on paper."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from harness.cluster.advice import advise
from harness.cluster.simulation import Cluster, Simulation, Spread, simulate
from harness.cluster.sizing import Sizing, size

BYTES_PER_ROW = 450.0
"""Of the reference schema with its indexes, see docs/scale.md."""
RELATIONS = 1828
"""Tables and partitions of the reference schema."""


def plan(
    tenants: Annotated[int, typer.Option(min=1, help="How many tenants.")],
    rows_per_tenant: Annotated[float, typer.Option(min=1, help="Rows of a tenant, on average.")],
    nodes: Annotated[int, typer.Option(min=1, help="Worker nodes.")],
    shard_count: Annotated[
        int | None, typer.Option(min=1, help="Shards per table.", show_default="2 per node")
    ] = None,
    skew: Annotated[
        float, typer.Option(min=0, help="Exponent of the Zipf law of tenant sizes.")
    ] = 0.7,
    tables: Annotated[
        int, typer.Option(min=1, help="Tables of the schema, partitions included.")
    ] = RELATIONS,
    bytes_per_row: Annotated[
        float, typer.Option(min=1, help="Bytes of a row with its index entries.")
    ] = BYTES_PER_ROW,
    seed: Annotated[int, typer.Option(help="Of the simulated tenant ids.")] = 1,
) -> None:
    """Tell shards, sizes and skew of a Citus cluster that is not there yet, and what to do."""
    cluster = Cluster(tenants, rows_per_tenant, skew, nodes, shard_count or 2 * nodes)
    found = simulate(cluster, seed)
    console = Console(highlight=False, soft_wrap=True)
    for line in (*_told(cluster, size(cluster, tables, bytes_per_row), found), ""):
        console.print(line, markup=False)
    advice = list(advise(cluster, found)) or ["nothing to do: tenants lie evenly enough"]
    for line in advice:
        console.print(f"advice: {line}", markup=False)


def _told(cluster: Cluster, sizes: Sizing, found: Simulation) -> list[str]:
    node = sizes.node_bytes + sizes.empty_bytes
    return [
        f"computed   {cluster.rows:,.0f} rows of {cluster.tenants:,} tenants,"
        f" {_bytes(sizes.row_bytes)} with indexes, {_bytes(sizes.node_bytes)} a node on average",
        f"computed   {cluster.shard_count} shards a table, {sizes.shards:,} in all,"
        f" {sizes.shards // cluster.nodes:,} a node",
        f"simulated  fullest shard {_spread(found.shards)}, over {found.draws} placings",
        f"simulated  fullest node {_spread(found.nodes)}, {_bytes(node * found.nodes.high)} at the"
        f" high end; {_spread(found.rebalanced)} once shards are moved by size",
        f"simulated  the largest tenant holds {found.largest:.2%} of all rows",
        f"scaled     {_bytes(sizes.empty_bytes)} and {sizes.relations_per_worker:,} catalog rows a"
        " node before the first row",
        f"scaled     {_bytes(sizes.worker_backend_bytes)} for a worker's backend that touched every"
        f" table, {_bytes(sizes.coordinator_backend_bytes)} for a coordinator's",
        f"scaled     {sizes.deploy_seconds / 60:.0f} minutes to distribute the tables",
    ]


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} × the mean ({spread.high:.2f} in one of twenty)"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} PB"
