"""No application role owns a table.

An owner disables row security, drops the policy or gives rights away whenever it likes, and is
bound by the policy only while row security is forced. What an application role is a member of
counts as well (PRV007).
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications
from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay OWNER TO app_owner;
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
ALTER TABLE auto.bay OWNER TO app_user;
"""


def check(catalog: Catalog, roles: Roles) -> Iterator[Violation]:
    for table in catalog.tables.values():
        if table.owner in applications(roles):
            yield Violation(
                str(table.name),
                f"{table.owner} owns {table.name} and may switch its row security off",
                table.location,
                f"ALTER TABLE {qualified(table.name)} OWNER TO {quoted(roles.owner)};",
            )
