"""A policy believes only tables whose rows the application cannot forge.

A policy that looks a membership up is as safe as the table that holds it. Where that table has
no row security and the application may write it, a session makes itself a member of any tenant.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.policies import expressions, tables_read
from checks.reach import applications
from checks.rule import Violation
from checks.wording import qualified
from harness.catalog.model import Catalog, Table
from harness.config import Roles, Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
_WRITES = frozenset({"insert", "update", "delete"})
GOOD = """
CREATE TABLE auto.member (business_id uuid NOT NULL, user_id uuid NOT NULL);
GRANT SELECT ON auto.member TO app_user;
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id IN (
    SELECT m.business_id FROM auto.member AS m
    WHERE m.user_id = nullif(current_setting('app.user_id', true), '')::uuid));
"""
BAD = """
CREATE TABLE auto.member (business_id uuid NOT NULL, user_id uuid NOT NULL);
GRANT SELECT, INSERT ON auto.member TO app_user;
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id IN ( -- here
    SELECT m.business_id FROM auto.member AS m
    WHERE m.user_id = nullif(current_setting('app.user_id', true), '')::uuid));
"""


def check(catalog: Catalog, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    for table, policy, tree in expressions(catalog, tenancy):
        for believed in tables_read(tree, catalog):
            if believed.name != table.name and _is_forgeable(believed, roles):
                yield Violation(
                    str(table.name),
                    f"policy {policy.name} on {table.name} believes {believed.name}, which an"
                    " application writes without row security",
                    policy.location,
                    f"ALTER TABLE {qualified(believed.name)}"
                    " ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
                )


def _is_forgeable(table: Table, roles: Roles) -> bool:
    writers = (*applications(roles), "public")
    return not table.row_security and any(
        grant.role in writers and grant.privileges & _WRITES for grant in table.grants
    )
