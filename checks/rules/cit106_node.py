"""Every node answers, and reaches every other.

Of a node that does not answer nothing is proven, and the tenants on it are not served; two workers
that do not reach each other fail joins, moves of shards and two-phase commits between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.cluster import Cluster
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
SELECT * FROM citus_check_cluster_node_health();
"""
BAD = """
SELECT citus_add_inactive_node('nowhere', 5432); -- here
"""


def check(cluster: Cluster) -> Iterator[Violation]:
    for node in cluster.nodes:
        host, _, port = node.place.rpartition(":")
        if not node.active:
            again = f"SELECT citus_activate_node('{host}', {port});"
            yield Violation(node.place, f"node {node.place} is not active", fix=again)
        elif node.error:
            yield Violation(
                node.place, f"node {node.place} does not tell its catalog: {node.error}"
            )
    for one, other in cluster.unreachable:
        yield Violation(one, f"node {one} cannot connect to {other}")
