"""No foreign table is granted to an application.

A foreign table cannot have row security: whoever may read it reads the rows of every tenant.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications
from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.source import Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE SERVER archive FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE auto.old_bay (business_id uuid) SERVER archive;
GRANT SELECT ON auto.old_bay TO harness_loader;
"""
BAD = """
CREATE SERVER archive FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE auto.old_bay (business_id uuid) SERVER archive;
GRANT SELECT ON auto.old_bay TO app_user; -- here
"""


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    for name, grants in source.foreign_tables.items():
        for grant in grants:
            if grant.role in (*applications(roles), "public"):
                yield Violation(
                    str(name),
                    f"foreign table {name} is granted to {grant.role}",
                    grant.location,
                    f"REVOKE ALL ON {qualified(name)} FROM {quoted(grant.role)};",
                )
