"""What to do about how tenants would lie."""

from __future__ import annotations

from collections.abc import Iterator

from harness.cluster.simulation import Cluster, Simulation

UNEVEN = 1.25
"""A fullest node over the mean that is worth moving shards for."""
EVEN = 1.1
_MOVE = "SELECT citus_rebalance_start(rebalance_strategy => 'by_disk_size')"
_ISOLATE = (
    "SELECT isolate_tenant_to_new_shard('tenant_mgmt.business', TENANT, 'CASCADE'), then"
    " citus_move_shard_placement"
)


def advise(cluster: Cluster, found: Simulation) -> Iterator[str]:
    """A line for each thing that should be done, what is said of shards before what is moved."""
    if (better := _divisible(cluster)) is not None:
        yield better
    share = found.largest * cluster.nodes
    if share > 0.5:
        yield (
            f"the largest tenant is {share:.0%} of a node's even share: give it a shard of its own"
            f" ({_ISOLATE})"
        )
    if found.nodes.median > UNEVEN and found.rebalanced.median < found.nodes.median * 0.95:
        yield (
            f"moving shards by size brings the fullest node from {found.nodes.median:.2f} to"
            f" {found.rebalanced.median:.2f} of the mean: {_MOVE}"
        )
    if found.rebalanced.median > EVEN and share <= 0.5 and better is None:
        yield (
            f"{cluster.shard_count} shards are too coarse to even out: --shard-count"
            f" {cluster.shard_count * 2} halves what is moved at once"
        )


def _divisible(cluster: Cluster) -> str | None:
    """What is wrong with so many shards on so many nodes."""
    if cluster.shard_count < cluster.nodes:
        return (
            f"{cluster.nodes - cluster.shard_count} nodes would get nothing: take at least"
            f" --shard-count {2 * cluster.nodes}"
        )
    if cluster.shard_count % cluster.nodes:
        more = -(-cluster.shard_count // cluster.nodes) * cluster.nodes
        return f"some nodes get a shard more than others: --shard-count {more} divides evenly"
    return None
