"""The proof after a deployment on Citus: what every node holds, against what was asked for.

The coordinator asks the nodes and nothing is written. Rules with the parameter `cluster` judge what
comes of it, a value that can be recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from checks.reach import applications
from checks.rules import registry
from harness.catalog import live_cluster, stray_rows
from harness.catalog.cluster import Cluster
from harness.config import Settings
from harness.db import Target, connect
from harness.finding import Finding

Progress = Callable[[int, int], None]


def examine(
    database: Target, settings: Settings, on_progress: Progress = lambda *_: None
) -> tuple[list[Finding], Cluster]:
    """What the rules find on the cluster whose coordinator the database is on, and the cluster.

    Raises UsageError where the database is no coordinator's.
    """
    with connect(database.admin) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cluster = live_cluster.read(connection, applications(settings.roles))
        cluster = stray_rows.counted(connection, cluster, on_progress)
    return list(judge(cluster, settings)), cluster


def judge(cluster: Cluster, settings: Settings) -> Iterator[Finding]:
    """What the rules find."""
    known = {"cluster": cluster, "tenancy": settings.tenancy, "roles": settings.roles}
    for rule in registry():
        if rule.judges("cluster"):
            yield from rule.found(known)


def told(cluster: Cluster) -> str:
    """What was looked at, in words."""
    shards = sum(copy.shard is not None for copy in cluster.copies)
    return f"{shards} shards of {len(cluster.relations)} relations on {len(cluster.nodes)} nodes"
