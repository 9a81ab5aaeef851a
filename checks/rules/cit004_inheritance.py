"""No table inherits from another.

A query of the parent reads the child past the child's policies, and the child has none of the
parent's. Citus does not distribute such tables. Partitions are another thing.
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
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE TABLE auto.wash_bay () INHERITS (auto.bay); -- here
"""


def check(distributed: Source) -> Iterator[Violation]:
    for name, parents in distributed.inherits.items():
        listed = ", ".join(map(str, parents))
        location = distributed.catalog.tables[name].location
        yield Violation(str(name), f"{name} inherits from {listed}", location)
