"""No application role is a member of the role that owns the tables.

A member of the owner has the owner's rights: it may disable row security or drop a policy, and
where row security is not forced no policy binds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications, reachable
from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.source import Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE ROLE app_owner NOLOGIN;
CREATE ROLE app_user LOGIN;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay OWNER TO app_owner;
"""
BAD = """
CREATE ROLE app_owner NOLOGIN;
CREATE ROLE app_user LOGIN IN ROLE app_owner; -- here
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay OWNER TO app_owner;
"""


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    # In files the owner is whoever deploys.
    owners = {table.owner or roles.owner for table in source.catalog.tables.values()}
    for name in applications(roles):
        for other, membership in reachable(name, source.roles).items():
            if other in owners:
                yield Violation(
                    name,
                    f"{name} is a member of {other}, which owns tables",
                    membership.location,
                    f"REVOKE {quoted(membership.role)} FROM {quoted(name)};",
                )
