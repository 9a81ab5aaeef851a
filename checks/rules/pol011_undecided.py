"""What a policy admits can be decided.

Where the truth table stays open nothing is proven: the policy calls what cannot be evaluated, or
reads other tables. From text alone it may be that only the database knows.
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
CREATE POLICY p ON auto.bay USING (business_id = public.unseen(other_id)); -- here
""",
)


def check(judgment: Judgment) -> Iterator[Violation]:
    advice = (
        "harness check catalog asks a database"
        if judgment.of_text
        else "name two tenants that exist in tenancy.examples, and who works for them in identities"
    )
    yield from violations(
        judgment, lambda fault, _: fault.kind == "undecided", f"cannot be decided; {advice}"
    )
