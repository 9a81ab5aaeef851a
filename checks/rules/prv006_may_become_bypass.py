"""No application role may become one that is above row security.

SET ROLE is one statement: whoever may take a superuser's or a BYPASSRLS role's place has it,
also by way of other roles. A role attribute is not inherited, but SET ROLE reaches it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications, reachable
from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.source import Role, Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE ROLE reporting NOLOGIN;
CREATE ROLE app_user LOGIN IN ROLE reporting;
"""
BAD = (
    """
CREATE ROLE operators NOLOGIN BYPASSRLS;
CREATE ROLE app_user LOGIN IN ROLE operators; -- here
""",
    """
CREATE ROLE operators NOLOGIN BYPASSRLS;
CREATE ROLE support NOLOGIN;
CREATE ROLE app_user LOGIN;
GRANT operators TO support;
GRANT support TO app_user; -- here
""",
    """
GRANT harness_loader TO app_user; -- here
""",
)


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    for name in applications(roles):
        for other, membership in reachable(name, source.roles).items():
            declared = other in (roles.loader, roles.matview_owner)
            if declared or _is_above(source.roles.get(other)):
                yield Violation(
                    name,
                    f"{name} may become {other}, which no policy binds",
                    membership.location,
                    f"REVOKE {quoted(membership.role)} FROM {quoted(name)};",
                )


def _is_above(role: Role | None) -> bool:
    return role is not None and (role.superuser or role.bypasses_row_security)
