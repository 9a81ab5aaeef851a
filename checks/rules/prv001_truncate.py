"""No application role may TRUNCATE.

TRUNCATE does not ask row security: one tenant's session empties the table of all.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
_PRIVILEGES = frozenset({"truncate"})
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT, TRUNCATE ON auto.bay TO app_user; -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT ALL ON auto.bay TO app_user; -- here
""",
)


def check(catalog: Catalog, roles: Roles) -> Iterator[Violation]:
    for table in catalog.tables.values():
        for grant in table.grants:
            held = grant.privileges & _PRIVILEGES
            if held and grant.role not in (roles.owner, roles.loader):
                listed = ", ".join(sorted(held)).upper()
                yield Violation(
                    str(table.name),
                    f"{grant.role} holds {listed} on {table.name}",
                    grant.location,
                    f"REVOKE {listed} ON {qualified(table.name)} FROM {quoted(grant.role)};",
                )
