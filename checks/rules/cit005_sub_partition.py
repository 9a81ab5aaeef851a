"""A partition is not partitioned again.

Citus distributes one level of partitions and refuses a second.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.visit (business_id uuid NOT NULL, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE auto.visit_default PARTITION OF auto.visit DEFAULT;
"""
BAD = """
CREATE TABLE auto.visit (business_id uuid NOT NULL, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE auto.visit_default PARTITION OF auto.visit DEFAULT PARTITION BY RANGE (at); -- here
"""


def check(distributed: Source) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        if table.partition_of is not None and table.partition_by is not None:
            yield Violation(
                str(table.name),
                f"{table.name} is a partition of {table.partition_of} and partitioned again",
                table.location,
            )
