"""Every node has the copies that the coordinator counts on.

Queries that need a missing shard fail, and what was in it is gone; a worker without the relation
cannot be asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.copies import told
from checks.rule import Violation
from harness.catalog.cluster import Cluster
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', $$ -- here
    DO $do$ BEGIN
        SET LOCAL citus.enable_manual_changes_to_shards = on;
        DROP TABLE %s;
    END $do$ $$);
"""


def check(cluster: Cluster) -> Iterator[Violation]:
    for relation, copies in cluster.copies_of():
        missing = [copy for copy in copies if copy.protection is None]
        if missing:
            yield Violation(
                str(relation.name),
                f"{len(missing)} of {len(copies)} copies of {relation.name} are not there:"
                f" {told(missing)}",
            )
