"""What the settings name is there.

A tenant column that no table has, a table of tenants that does not exist or an application role
that may do nothing means that the settings are those of another schema: what is found is then
about that, and what is not found proves nothing. `harness check --init` proposes settings.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.policy.judgment import Judgment
from checks.reach import applications, inherited
from checks.rule import Violation
from harness.catalog.model import Name
from harness.catalog.source import Source
from harness.config import Roles, Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
TENANCY = Tenancy(column="org_id", root_table="auto.org")
GOOD = """
CREATE TABLE auto.org (org_id uuid PRIMARY KEY);
"""
BAD = (
    """
CREATE TABLE auto.org (id uuid PRIMARY KEY); -- here
""",
    """
CREATE TABLE auto.organization (org_id uuid PRIMARY KEY); -- here
""",
)
_LOOK = "harness check --init proposes settings"


def check(
    judgment: Judgment, source: Source, tenancy: Tenancy, roles: Roles
) -> Iterator[Violation]:
    tables = source.catalog.tables
    if not tables:
        return
    last = list(tables.values())[-1]
    if not any(tenancy.column in table.columns for table in tables.values()):
        message = f"no table has a column {tenancy.column}; set tenancy.column ({_LOOK})"
        yield Violation(tenancy.column, message, last.location)
    if tenancy.root_table and Name.parse(tenancy.root_table) not in tables:
        message = f"there is no table {tenancy.root_table}; set tenancy.root_table ({_LOOK})"
        yield Violation(tenancy.root_table, message, last.location)
    if not judgment.of_text and not _is_used(source, roles):
        named = ", ".join(applications(roles))
        message = f"{named}: may neither read nor write any table; set roles.app ({_LOOK})"
        yield Violation(roles.app, message)


def _is_used(source: Source, roles: Roles) -> bool:
    """Whether an application role, or what it is a member of, is granted any table."""
    granted = {g.role for table in source.catalog.tables.values() for g in table.grants}
    for role in applications(roles):
        if granted & {role, "public", *inherited(role, source.roles)}:
            return True
    return False
