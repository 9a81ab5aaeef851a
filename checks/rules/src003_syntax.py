"""Every statement parses with the grammar of PostgreSQL 17.

A statement that does not parse is not checked, and the deploy will stop at it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
    USING (business_id = tenant_mgmt.current_business_id()); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL,); -- here
""",
)


def check(source: Source) -> Iterator[Violation]:
    for problem in source.problems:
        if problem.kind == "syntax":
            yield Violation(problem.object, problem.message, problem.location)
