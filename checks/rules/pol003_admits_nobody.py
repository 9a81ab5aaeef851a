"""No policy admits rows that belong to no tenant.

Where the tenant column may be NULL, such rows are seen, changed or planted by everybody who is
admitted to them.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.policy.judgment import Judgment
from checks.policy.telling import violations
from checks.rule import Violation
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay
    USING (business_id = (SELECT nullif(current_setting('app.business_id', true), '')::uuid));
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id = tenant_mgmt.current_business_id() OR business_id IS NULL);
""",
)


def check(judgment: Judgment) -> Iterator[Violation]:
    yield from violations(
        judgment, lambda fault, _: fault.kind == "nobody", "admits rows that belong to no tenant"
    )
