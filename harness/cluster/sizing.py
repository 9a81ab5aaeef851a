"""What a schema on a cluster takes before it holds a row, and what its rows take.

Each figure is computed from its inputs, or scaled from what was measured on Citus 13.2.2 with
PostgreSQL 17.11, a coordinator and two workers, 650 tables of 12 columns with 3 indexes, on
2026-11-22: see docs/scale.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.cluster.simulation import Cluster

_TABLES, _WORKERS = 650, 2
_EMPTY_MB = {4: 132.0, 32: 688.0}
"""Disk of a worker after deployment, by shard count."""
_DISTRIBUTE_MS = {4: 90.0, 32: 448.0}
"""Time to distribute a table, the middle of what was seen."""
_COORDINATOR_MB, _WORKER_MB = 29.0, 104.0
"""Private memory of a backend once it has touched every table, of a worker's one shard of each."""
_RELATIONS = {4: 7_665, 32: 25_865}
"""Rows of pg_class on a worker."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """Sizes in bytes, times in seconds."""

    shards: int
    """Of all tables together, partitions included."""
    relations_per_worker: int
    row_bytes: float
    """Of all rows with their indexes."""
    node_bytes: float
    """Of the rows of a node, on average."""
    empty_bytes: float
    """Of a node before it holds a row."""
    coordinator_backend_bytes: float
    worker_backend_bytes: float
    deploy_seconds: float


def size(cluster: Cluster, tables: int, bytes_per_row: float) -> Sizing:
    """The sizes for a schema of so many tables, each partition counted as one."""
    per_worker = cluster.shard_count / cluster.nodes
    # Two workers shared the shards where this was measured.
    alike = per_worker * _WORKERS
    scale = tables / _TABLES
    row_bytes = cluster.rows * bytes_per_row
    return Sizing(
        shards=tables * cluster.shard_count,
        relations_per_worker=round(_line(_RELATIONS, alike) * scale),
        row_bytes=row_bytes,
        node_bytes=row_bytes / cluster.nodes,
        empty_bytes=_line(_EMPTY_MB, alike) * scale * 1e6,
        coordinator_backend_bytes=_COORDINATOR_MB * scale * 1e6,
        worker_backend_bytes=_WORKER_MB * scale * 1e6,
        deploy_seconds=_line(_DISTRIBUTE_MS, cluster.shard_count) * tables / 1000,
    )


def _line(measured: dict[int, float] | dict[int, int], shards: float) -> float:
    """On the line through both measurements, which was linear where it was looked at (2 to 32)."""
    (low, at_low), (high, at_high) = measured.items()
    return max(0.0, at_low + (at_high - at_low) * (shards - low) / (high - low))
