"""Where most tables have one policy in the canonical form, every table has.

One form that is compared as a value leaves no room for a tautology, an OR that opens the
boundary, a column or setting that is not the tenant's, a fallback for "no tenant set", or a
second permissive policy, which PostgreSQL joins with OR. A policy FOR ALL guards writes with
the same expression. Where a schema follows another convention, the truth table (POL001 to
POL006) judges it alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import tenant_policy, tenant_predicate
from harness.catalog.files.comparable import comparable
from harness.catalog.model import Catalog, Policy, Table
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay AS PERMISSIVE FOR ALL TO PUBLIC
    USING (((business_id) = Tenant_Mgmt.current_business_id() /* the tenant */))
    WITH CHECK (business_id = tenant_mgmt.current_business_id());
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay USING (true); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay USING (business_id = business_id); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay USING (other_id = tenant_mgmt.current_business_id()); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay -- here
    USING (business_id = tenant_mgmt.current_business_id() OR business_id IS NULL);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay -- here
    USING (business_id = current_setting('app.org_id')::uuid);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay -- here
    USING (business_id = tenant_mgmt.current_business_id()) WITH CHECK (true);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay FOR SELECT -- here
    USING (business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay TO app_user -- here
    USING (business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay WITH CHECK (true); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
CREATE POLICY q ON auto.bay USING (business_id = tenant_mgmt.current_business_id()); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, other_id uuid);
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
ALTER POLICY p ON auto.bay USING (true); -- here
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    expected = comparable(tenant_predicate(tenancy))
    tables = [table for table in isolated(catalog, tenancy) if table.policies]
    follow = sum(_wrong(table.policies[0], expected) is None for table in tables)
    for table in tables if 2 * follow >= len(tables) else ():
        yield from _of_table(table, expected, tenancy)


def _of_table(table: Table, expected: str, tenancy: Tenancy) -> Iterator[Violation]:
    for position, policy in enumerate(table.policies):
        wrong = _wrong(policy, expected)
        if position > 0 and not wrong:
            wrong = "is a second policy, which is joined to the first with OR"
        if wrong:
            yield Violation(
                str(table.name),
                f"policy {policy.name} on {table.name} {wrong}",
                policy.location,
                tenant_policy(table.name, tenancy),
            )


def _wrong(policy: Policy, expected: str) -> str | None:
    """How a policy differs from the canonical one; None where it does not."""
    if not policy.permissive:
        return "is RESTRICTIVE and grants nothing by itself"
    if policy.command != "all":
        return f"is FOR {policy.command.upper()} and leaves the other commands to nobody"
    if policy.roles != ("public",):
        return f"holds for {', '.join(policy.roles)} alone"
    if policy.using is None:
        return "has no USING"
    if comparable(policy.using) != expected:
        return f"uses {policy.using} and not {expected}"
    if policy.check is not None and comparable(policy.check) != expected:
        return f"checks {policy.check} and not {expected}"
    return None
