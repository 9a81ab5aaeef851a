"""Every table has a policy.

Row level security without a policy refuses every row: the table is useless to applications,
and the way out that is found under pressure is to switch row level security off.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import tenant_policy
from harness.catalog.model import Catalog
from harness.config import Tenancy
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


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        if not table.policies:
            yield Violation(
                str(table.name),
                f"{table.name} has no policy",
                table.location,
                tenant_policy(table.name, tenancy),
            )
