"""No privileges are given by default.

They are granted with every table that somebody adds later, also a partition, a materialized
view or a table that has no policy yet: measured, one tenant saw all tenants through each.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO app_user;
"""
BAD = """
ALTER DEFAULT PRIVILEGES IN SCHEMA auto GRANT SELECT ON TABLES TO app_user; -- here
"""


def check(source: Source) -> Iterator[Violation]:
    for held in source.privileges:
        if held.kind == "default":
            yield Violation(
                held.object, f"{held.object} will be granted to {held.role}", held.location
            )
