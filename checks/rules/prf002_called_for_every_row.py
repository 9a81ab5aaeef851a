"""A policy calls no function for every row that PostgreSQL could call once.

An SQL function of one expression is inlined; a PL/pgSQL function, one with a SET clause or
SECURITY DEFINER is called for each row. Inside (SELECT f()) it is called once a statement.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.policies import expressions, functions_called, once_per_statement
from checks.rule import Violation
from harness.catalog.model import Catalog, Function
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE FUNCTION auto.tenant() RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN current_setting('app.business_id')::uuid; END $$;
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = (SELECT auto.tenant()));
""",
)
BAD = """
CREATE FUNCTION auto.tenant() RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN current_setting('app.business_id')::uuid; END $$;
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = auto.tenant()); -- here
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table, policy, tree in expressions(catalog, tenancy):
        once = once_per_statement(tree)
        for call, function in functions_called(tree, catalog):
            if id(call) not in once and not _is_inlined(function):
                yield Violation(
                    str(table.name),
                    f"policy {policy.name} on {table.name} calls {function.signature} for every"
                    " row",
                    policy.location,
                    f"(SELECT {function.name}(…))",
                )


def _is_inlined(function: Function) -> bool:
    plain = not function.settings and not function.security_definer
    return function.language == "sql" and plain and function.volatility != "volatile"
