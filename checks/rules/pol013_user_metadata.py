"""No policy takes the tenant from what users write about themselves.

The user_metadata of a token (raw_user_meta_data in auth.users) is changed by the user: whoever
writes another tenant into it is let in there. Use app_metadata, or the session's setting.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id = (current_setting('request.jwt.claims', true)::jsonb
                          -> 'user_metadata' ->> 'business_id')::uuid);
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for policy in table.policies:
            said = f"{policy.using} {policy.check}"
            if "user_metadata" in said or "raw_user_meta_data" in said:
                yield Violation(
                    str(table.name),
                    f"policy {policy.name} on {table.name} believes what users write",
                    policy.location,
                )
