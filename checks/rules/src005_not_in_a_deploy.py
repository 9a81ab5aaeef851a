"""What files say can run in the one transaction of a deploy.

harness deploy sends all files in one transaction, so that a schema is there whole or not at all.
BEGIN, COMMIT and CONCURRENTLY end that or fail in it. Where another tool runs the files, nothing is
wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.INFO
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE INDEX bay_idx ON auto.bay (business_id, bay_id);
"""
BAD = (
    """
COMMIT; -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE INDEX CONCURRENTLY bay_idx ON auto.bay (business_id, bay_id); -- here
""",
    """
SET row_security = off; -- here
""",
)


def check(source: Source) -> Iterator[Violation]:
    for problem in source.problems:
        if problem.kind == "deploy":
            yield Violation(problem.object, problem.message, problem.location)
