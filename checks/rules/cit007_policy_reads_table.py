"""No function that a policy calls reads a table.

On a shard the policy runs inside a part of a distributed query, where Citus begins no other: the
table is made, and every query of it fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import reaching
from checks.policies import expressions, functions_called
from checks.rule import Violation
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE FUNCTION auto.tenant() RETURNS uuid LANGUAGE sql STABLE
    RETURN current_setting('app.business_id')::uuid;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay USING (business_id = auto.tenant());
"""
BAD = (
    """
CREATE TABLE auto.member (business_id uuid NOT NULL);
CREATE FUNCTION auto.is_member(tenant uuid) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT EXISTS (SELECT FROM auto.member WHERE business_id = tenant) $$;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY member ON auto.bay USING (auto.is_member(business_id)); -- here
""",
    """
CREATE TABLE auto.member (business_id uuid NOT NULL);
CREATE FUNCTION auto.members() RETURNS bigint LANGUAGE sql STABLE
    AS $$ SELECT count(*) FROM auto.member $$;
CREATE FUNCTION auto.has_members() RETURNS boolean LANGUAGE sql STABLE
    RETURN auto.members() > 0;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY member ON auto.bay USING (auto.has_members()); -- here
""",
)

_READS = r"(?<!DISTINCT )\bFROM\s+[\w\"]"


def check(distributed: Source, tenancy: Tenancy) -> Iterator[Violation]:
    catalog = distributed.catalog
    called = {
        (table.name, policy.name, function.signature): (policy, function)
        for table, policy, tree in expressions(catalog, tenancy)
        for _, function in functions_called(tree, catalog)
    }
    reading = reaching(distributed, _READS, {f.name.name for _, f in called.values()})
    for (table, _, _), (policy, function) in called.items():
        if function.name.name in reading:
            yield Violation(
                str(table),
                f"policy {policy.name} on {table} calls {function.signature}, which reads a table",
                policy.location,
            )
