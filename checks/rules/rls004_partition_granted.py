"""A partition carries no grants of its own.

Rows are reached through the partitioned table. A grant on a partition opens a second way to
them, past the parent's policy and past whoever reviews the parent's grants.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.visit (business_id uuid NOT NULL, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE auto.visit_default PARTITION OF auto.visit DEFAULT;
GRANT SELECT ON auto.visit TO app_user;
"""
BAD = """
CREATE TABLE auto.visit (business_id uuid NOT NULL, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE auto.visit_default PARTITION OF auto.visit DEFAULT;
GRANT SELECT ON auto.visit_default TO app_user; -- here
"""


def check(catalog: Catalog) -> Iterator[Violation]:
    for table in catalog.tables.values():
        for grant in table.grants if table.partition_of else ():
            yield Violation(
                str(table.name),
                f"{table.name}, a partition of {table.partition_of}, is granted to {grant.role}",
                grant.location,
                f"REVOKE ALL ON {qualified(table.name)} FROM {quoted(grant.role)};",
            )
