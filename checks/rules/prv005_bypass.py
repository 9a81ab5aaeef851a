"""Nobody but the loader and the owner of materialized views is above row security.

A superuser or a role with BYPASSRLS sees every tenant, whatever the policies say. An
application role must be neither; another role that logs in with BYPASSRLS and may read a table
is a way in that nobody watches. Superusers that no application uses run the server and are not
judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications, inherited
from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.model import Table
from harness.catalog.source import Role, Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE ROLE app_user LOGIN NOBYPASSRLS;
CREATE ROLE harness_loader LOGIN BYPASSRLS;
"""
BAD = (
    """
CREATE ROLE app_user LOGIN SUPERUSER; -- here
""",
    """
CREATE ROLE reports LOGIN BYPASSRLS; -- here
""",
    """
CREATE ROLE app_readonly NOLOGIN;
ALTER ROLE app_readonly BYPASSRLS; -- here
""",
)

_READ_ALL = ("pg_read_all_data", "pg_write_all_data")


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    for role in source.roles.values():
        attribute = _above(role, roles)
        if attribute and (role.name in applications(roles) or _is_of(role, source)):
            yield Violation(
                role.name,
                f"{role.name} is {attribute}: no policy binds it",
                role.location,
                f"ALTER ROLE {quoted(role.name)} NO{attribute};",
            )


def _above(role: Role, roles: Roles) -> str | None:
    """The attribute that puts a role above row security, where it should not be."""
    if role.name in applications(roles) and role.superuser:
        return "SUPERUSER"
    may = role.name in (roles.loader, roles.matview_owner) or role.superuser
    watched = role.login or role.name in applications(roles)
    return "BYPASSRLS" if role.bypasses_row_security and watched and not may else None


def _is_of(role: Role, source: Source) -> bool:
    """Whether a role of the cluster has to do with this schema: made by its files, or may read."""
    held = {role.name, *inherited(role.name, source.roles)}
    tables = source.catalog.tables.values()
    return (
        role.location is not None
        or not held.isdisjoint(_READ_ALL)
        or any(table.owner in held or _is_granted(table, held) for table in tables)
    )


def _is_granted(table: Table, held: set[str]) -> bool:
    return any(grant.role in held for grant in table.grants)
