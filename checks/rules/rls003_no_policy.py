"""Every table has a policy.

Row level security without a policy refuses every row: the table is useless to applications,
and the way out that is found under pressure is to switch row level security off. One that no
application role may touch anyway, while others are granted, is closed on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import is_out_of_reach
from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import tenant_policy
from harness.catalog.source import Source
from harness.config import Roles, Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
DROP POLICY tenant_isolation ON auto.bay;
""",
)


def check(source: Source, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    for table in isolated(source.catalog, tenancy):
        closed = table.row_security and is_out_of_reach(table, source, roles)
        if not table.policies and not closed:
            yield Violation(
                str(table.name),
                f"{table.name} has no policy",
                table.location,
                tenant_policy(table.name, tenancy),
            )
