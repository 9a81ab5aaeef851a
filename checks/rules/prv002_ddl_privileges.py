"""No application role holds REFERENCES, TRIGGER or MAINTAIN.

With REFERENCES a role makes a foreign key of its own, an oracle for the keys of all tenants;
with TRIGGER it runs code as whoever writes; MAINTAIN locks the table for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.WARNING
_PRIVILEGES = frozenset({"references", "trigger", "maintain"})
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT, REFERENCES ON auto.bay TO app_user; -- here
"""


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
