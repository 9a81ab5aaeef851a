"""All distributed tables are in one colocation group.

Rows of a tenant lie on one node only among tables of one group. Between groups Citus refuses
foreign keys and sends joins over the network, and a shard of one group moves without those of the
other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified
from harness.catalog.cluster import Cluster, Relation
from harness.catalog.model import Name
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'none'); -- here
"""


def check(cluster: Cluster, tenancy: Tenancy) -> Iterator[Violation]:
    groups = {relation: group for relation in cluster.relations if (group := _group(relation))}
    center = _center(groups, tenancy)
    for relation, group in groups.items():
        if center and group != groups[center] and relation.partition_of is None:
            yield Violation(
                str(relation.name),
                f"{relation.name} is in colocation group {group}, {center.name} in"
                f" {groups[center]}",
                fix=f"SELECT alter_distributed_table('{qualified(relation.name)}',"
                f" colocate_with => '{qualified(center.name)}');",
            )


def _group(relation: Relation) -> int | None:
    spread = relation.distribution
    return spread.colocation if spread is not None and spread.method == "hash" else None


def _center(groups: dict[Relation, int], tenancy: Tenancy) -> Relation | None:
    """The table of tenants; where it is not distributed, one of the largest group."""
    root = Name.parse(tenancy.root_table)
    largest = Counter(groups.values()).most_common(1)
    others = (r for r, group in groups.items() if group == largest[0][0])
    return next((r for r in groups if r.name == root), next(others, None) if largest else None)
