"""A session whose tenant is over fails in the way of one that never had any.

After SET LOCAL ends a setting is '' and not NULL. A policy that shows no rows where the setting
was never set, and raises an error where it is '', works in tests on fresh connections and fails
on a pooled one. Either both raise, as current_setting() without missing_ok does, or neither:
nullif(current_setting(…, true), '').
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.policy.judgment import Judgment
from checks.policy.telling import violations
from checks.rule import Violation
from harness.finding import Severity

SEVERITY = Severity.WARNING
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
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id = current_setting('app.business_id', true)::uuid);
""",
)


def check(judgment: Judgment) -> Iterator[Violation]:
    yield from violations(judgment, lambda fault, _: fault.kind == "breaks", "raises an error")
