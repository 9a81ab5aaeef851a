"""Every table is distributed by the tenant; what tenants share is on every node.

A table that was left on the coordinator is no part of the cluster: its rows are not spread, joins
with it are refused or pull tenants' rows over, and nothing that holds of shards was proven of it.
A reference table is whole on every node; with tenants' rows it grows with all of them everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.copies import distributing
from checks.rule import Violation
from checks.wording import qualified
from harness.catalog.cluster import Cluster, Relation
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'bay_id'); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_reference_table('auto.bay'); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT citus_add_local_table_to_metadata('auto.bay'); -- here
""",
)


def check(cluster: Cluster, tenancy: Tenancy) -> Iterator[Violation]:
    for relation in cluster.relations:
        wrong = _wrong(relation, tenancy)
        if wrong and relation.partition_of is None:
            yield Violation(
                str(relation.name),
                f"{relation.name} is {wrong}",
                fix=_fix(relation, tenancy),
            )


def _wrong(relation: Relation, tenancy: Tenancy) -> str:
    """What it is instead of what it should be; empty where that is right."""
    spread = relation.distribution
    if spread is None:
        return "on the coordinator alone"
    if spread.method == "local":
        return "local, though in the metadata of Citus"
    if tenancy.shares(relation.name):
        return ""
    if spread.method == "reference":
        return "a reference table, though tenants do not share it"
    if spread.method != "hash" or spread.column is None:
        return "not distributed by hash"
    if spread.column != tenancy.column and str(relation.name) != tenancy.root_table:
        return f"distributed by {spread.column}, not by {tenancy.column}"
    return ""


def _fix(relation: Relation, tenancy: Tenancy) -> str:
    name = relation.name
    undone = f"SELECT undistribute_table('{qualified(name)}');" if relation.distribution else ""
    if tenancy.shares(name):
        made = f"SELECT create_reference_table('{qualified(name)}');"
    else:
        made = distributing(name, tenancy.column, tenancy.root_table)
    return "\n".join(filter(None, (undone, made)))
