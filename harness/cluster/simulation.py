"""How evenly tenants would lie: sizes by a Zipf law, places by the hash of random ids."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.cluster import placement

Rows = NDArray[np.float64]
DRAWN = 20_000_000
"""Tenants that are placed in all; with fewer tenants the placing is repeated more often."""
MOST_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is to be placed, and on what."""

    tenants: int
    rows_per_tenant: float
    """On average."""
    skew: float
    """Exponent of the Zipf law of tenant sizes; 0 makes all alike."""
    nodes: int
    shard_count: int

    @property
    def rows(self) -> float:
        """Rows in all."""
        return self.tenants * self.rows_per_tenant


@dataclass(frozen=True, slots=True)
class Spread:
    """The fullest of some places over their mean, as it came out in repeated placings."""

    median: float
    high: float
    """Exceeded by one placing in twenty."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What came out."""

    draws: int
    largest: float
    """The largest tenant's share of all rows."""
    shards: Spread
    nodes: Spread
    rebalanced: Spread
    """Nodes, once shards were moved by their size."""


def simulate(cluster: Cluster, seed: int) -> Simulation:
    """Places the tenants by hash, again and again with other ids."""
    rng = np.random.default_rng(seed)
    sizes = 1 / np.arange(1, cluster.tenants + 1, dtype=float) ** cluster.skew
    sizes *= cluster.rows / sizes.sum()
    placed = [_rows_by_shard(cluster, sizes, rng) for _ in range(draws(cluster.tenants))]
    return Simulation(
        draws=len(placed),
        largest=float(sizes[0] / cluster.rows),
        shards=_spread([_fullest(rows) for rows in placed]),
        nodes=_spread([_fullest(_by_node(rows, cluster.nodes)) for rows in placed]),
        rebalanced=_spread([_fullest(_rebalanced(rows, cluster.nodes)) for rows in placed]),
    )


def draws(tenants: int) -> int:
    """How often so many tenants are placed."""
    return max(1, min(MOST_DRAWS, DRAWN // tenants))


def _rows_by_shard(cluster: Cluster, sizes: Rows, rng: np.random.Generator) -> Rows:
    ids = np.frombuffer(rng.bytes(16 * cluster.tenants), "V16")
    shard = placement.shards(placement.hash_uuids(ids), cluster.shard_count)
    return np.bincount(shard, sizes, cluster.shard_count).astype(float)


def _by_node(rows: Rows, nodes: int) -> Rows:
    return np.bincount(placement.nodes(np.arange(len(rows)), nodes), rows, nodes).astype(float)


def _rebalanced(rows: Rows, nodes: int) -> Rows:
    """The largest shard first, each to the node that has least."""
    heap = [0.0] * nodes
    for shard in sorted(rows, reverse=True):
        heapq.heapreplace(heap, heap[0] + float(shard))
    return np.array(heap)


def _fullest(rows: Rows) -> float:
    return float(rows.max() / rows.mean())


def _spread(found: list[float]) -> Spread:
    return Spread(float(np.median(found)), float(np.quantile(found, 0.95)))
