"""No policy is RESTRICTIVE.

Citus drops AS RESTRICTIVE on its shards, where the policy becomes a permissive one that is
joined with OR: measured, 80 rows of 20 tenants came to a session without a tenant.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.restrictive import folded
from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY floor ON auto.bay AS RESTRICTIVE USING (business_id IS NOT NULL); -- here
"""


def check(distributed: Source) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        for policy in table.policies:
            if not policy.permissive:
                yield Violation(
                    str(table.name),
                    f"policy {policy.name} on {table.name} is RESTRICTIVE",
                    policy.location,
                    folded(table.name, table.policies, policy),
                )
