"""Without a tenant no row is admitted, and nothing stands in for the tenant.

A session that forgot its tenant must fail or find nothing. A policy that is open then shows
everything; COALESCE or CASE in the function that tells the tenant lets such a session work on
the rows of somebody.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import mentions
from checks.context import context_functions
from checks.policy.judgment import Judgment
from checks.policy.telling import violations
from checks.rule import Violation
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(current_tenant="auto.tenant()")
GOOD = (
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN current_setting('app.business_id')::uuid;
""",
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;
""",
)
BAD = (
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN coalesce(current_setting('app.business_id', true), '0')::uuid; -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (nullif(current_setting('app.business_id', true), '') IS NULL
           OR business_id = nullif(current_setting('app.business_id', true), '')::uuid);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid, is_public boolean);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id = coalesce(current_setting('app.business_id', true)::uuid, business_id));
""",
)


def check(source: Source, tenancy: Tenancy, judgment: Judgment) -> Iterator[Violation]:
    yield from violations(
        judgment, lambda fault, _: fault.kind == "open", "admits rows without a tenant"
    )
    context = context_functions(source.catalog, tenancy)
    for function, location in mentions(source, r"\bCOALESCE\b|\bCASE\b", context):
        yield Violation(
            function.signature,
            f"{function.signature} has a fallback for sessions without a tenant",
            location,
        )
