"""A table that is declared shared is one, and applications only read it.

The setting tenancy.shared_tables takes a table out of every check of isolation. An entry that
names no table, or one with tenants' rows in it, or one that applications may write to, is a
hole in the check.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog, Table
from harness.config import Roles, Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(shared_tables=("auto.make",))
GOOD = """
CREATE TABLE auto.make (make_id uuid NOT NULL);
GRANT SELECT ON auto.make TO app_user;
"""
BAD = (
    """
CREATE TABLE auto.make (make_id uuid NOT NULL);
GRANT SELECT, INSERT ON auto.make TO app_user; -- here
""",
    """
CREATE TABLE auto.make (
    business_id uuid NOT NULL, -- here
    make_id uuid NOT NULL
);
""",
)


def check(catalog: Catalog, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    for pattern in tenancy.shared_tables:
        tables = [table for table in catalog.tables.values() if _is(pattern, table)]
        if not tables:
            message = f"{pattern} is declared shared and does not exist; take it from shared_tables"
            yield Violation(pattern, message)
        for table in tables:
            yield from _of_table(table, tenancy, roles)


def _is(pattern: str, table: Table) -> bool:
    return fnmatchcase(str(table.name), pattern)


def _of_table(table: Table, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    name = str(table.name)
    tenant = table.columns.get(tenancy.column)
    if tenant is not None:
        message = f"{name} is declared shared and has the column {tenancy.column}"
        yield Violation(name, message, tenant.location)
    for grant in table.grants:
        written = grant.privileges - {"select"}
        if written and grant.role not in (roles.owner, roles.loader):
            yield Violation(
                name,
                f"{name} is declared shared and {grant.role} may {_listed(written)} its rows",
                grant.location,
                f"REVOKE {_listed(written).upper()} ON {qualified(table.name)}"
                f" FROM {quoted(grant.role)};",
            )


def _listed(privileges: frozenset[str]) -> str:
    return ", ".join(sorted(privileges))
