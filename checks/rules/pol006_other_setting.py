"""A session reaches its tenant's rows, by the tenant's setting and no other.

A policy that compares with another setting than the application sets, or with one that
somebody else may set, isolates nothing or hides everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.bodies import mentions, reaching
from checks.context import context_functions
from checks.policy.judgment import Judgment
from checks.policy.switches import opened
from checks.policy.telling import violations
from checks.rule import Violation
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
_READS = r"\bcurrent_setting\s*\("
TENANCY = Tenancy(current_tenant="auto.tenant()")
GOOD = (
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN current_setting('app.business_id')::uuid;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, owner_id uuid);
GRANT SELECT ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (
    business_id = tenant_mgmt.current_business_id()
    AND coalesce(current_setting('app.region', true), 'eu') = 'eu'
    AND (owner_id IS NULL OR owner_id::text = current_setting('app.user_id', true))
);
""",
    """
CREATE FUNCTION auto.told() RETURNS text
    LANGUAGE sql STABLE
    RETURN current_setting('app.business_id');
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN auto.told()::uuid;
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
CREATE POLICY q ON auto.bay USING (current_setting('app.bypass', true)::text = 'on'); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
CREATE POLICY q ON auto.bay -- here
    USING (coalesce(current_setting('app.is_admin', true)::boolean, false) = true);
""",
    """
CREATE FUNCTION auto.is_support() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.support', true), '')::boolean;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id = tenant_mgmt.current_business_id() OR auto.is_support());
""",
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN coalesce(
        current_setting('app.business_id', true),
        current_setting('app.org_id') -- here
    )::uuid;
""",
    """
CREATE FUNCTION auto.tenant() RETURNS uuid -- here
    LANGUAGE sql STABLE
    RETURN '00000000-0000-0000-0000-000000000001'::uuid;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id = nullif(current_setting('app.org_id', true), '')::uuid);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay AS RESTRICTIVE -- here
    USING (business_id = nullif(current_setting('app.business_id', true), '')::uuid);
""",
)


def check(source: Source, tenancy: Tenancy, judgment: Judgment) -> Iterator[Violation]:
    yield from violations(
        judgment,
        lambda fault, _: fault.kind in ("denied", "raises"),
        "admits no row of the session's own tenant",
    )
    for table, policy, other, value in opened(judgment):
        yield Violation(
            str(table.name),
            f"policy {policy.name} on {table.name} shows all tenants to any session that sets"
            f" {other} to {value}",
            policy.location,
        )
    if tenancy.by_role:
        return
    setting = re.escape(tenancy.setting)
    context = tuple(
        f for f in context_functions(source.catalog, tenancy) if f.name.schema != "auth"
    )
    told = {function.name.name for function in context}
    right = reaching(source, _READS + rf"(?=\s*'{setting}')", told)
    places = list(mentions(source, _READS + rf"(?!\s*'{setting}')", context))
    places += [(f, f.location) for f in context if f.name.name not in right]
    for function, place in places:
        yield Violation(
            function.signature,
            f"{function.signature} does not read {tenancy.setting}, or not alone",
            place,
            f"current_setting('{tenancy.setting}')",
        )
