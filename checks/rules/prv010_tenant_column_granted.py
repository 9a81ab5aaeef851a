"""No application role is granted UPDATE of the tenant column by name.

A grant that lists columns says what applications may change. Whose a row is never changes: with
the column in the list, a policy whose WITH CHECK is weaker than its USING gives rows away, and
takes them.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications
from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Roles, Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text);
GRANT SELECT, INSERT ON auto.bay TO app_user;
GRANT UPDATE (name) ON auto.bay TO app_user;
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text);
GRANT UPDATE (business_id, name) ON auto.bay TO app_user; -- here
"""


def check(catalog: Catalog, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for grant in table.grants:
            known = grant.role in (*applications(roles), "public")
            if known and "update" in grant.privileges and tenancy.column in grant.columns:
                column, role = quoted(tenancy.column), quoted(grant.role)
                yield Violation(
                    str(table.name),
                    f"{grant.role} may change {tenancy.column} of {table.name}",
                    grant.location,
                    f"REVOKE UPDATE ({column}) ON {qualified(table.name)} FROM {role};",
                )
