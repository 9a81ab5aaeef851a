"""No policy shows a tenant the rows of another.

The truth table of each table's policies says so: rows of the session's own tenant, of another
and of nobody, in sessions with and without a tenant, for every command that an application role
may use. Text is evaluated as far as it tells; on a database PostgreSQL evaluates it.
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
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (true); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = business_id); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id IS NOT NULL); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (other_id = tenant_mgmt.current_business_id()); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
CREATE POLICY q ON auto.bay FOR SELECT USING (is_public); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (is_public OR other_id IS NULL AND business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY floor ON auto.bay AS RESTRICTIVE TO harness_monitor
    USING (business_id = tenant_mgmt.current_business_id());
CREATE POLICY p ON auto.bay USING (true); -- here
""",
)


def check(judgment: Judgment) -> Iterator[Violation]:
    yield from violations(
        judgment,
        lambda fault, step: fault.kind == "other" and not step.writes,
        "shows rows of other tenants",
    )
