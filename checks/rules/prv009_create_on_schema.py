"""No application role may CREATE in a schema.

A role that creates functions or tables where others look for theirs decides what their names
mean, and its own tables have no row security.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.source import Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
GRANT USAGE ON SCHEMA auto TO app_user;
"""
BAD = """
GRANT USAGE, CREATE ON SCHEMA auto TO app_user; -- here
"""


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    for held in source.privileges:
        creates = held.kind == "schema" and "create" in held.privileges
        if creates and held.role not in (roles.owner, roles.matview_owner):
            yield Violation(
                held.object,
                f"{held.role} may CREATE in schema {held.object}",
                held.location,
                f"REVOKE CREATE ON SCHEMA {quoted(held.object)} FROM {quoted(held.role)};",
            )
