"""No placeholder stands for what the check cannot see.

A template or a variable of psql is filled in when the files are run. A name is read in its place,
so that the statement counts, but which role, table or expression it will be is not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, sizes integer[] DEFAULT '{{1,2},{3,4}}');
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO :reader; -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO {{ reader }}; -- here
""",
    """
CREATE TABLE auto.${prefix}_bay (business_id uuid NOT NULL, bay_id uuid NOT NULL); -- here
""",
)


def check(source: Source) -> Iterator[Violation]:
    for problem in source.problems:
        if problem.kind == "template":
            yield Violation(problem.object, problem.message, problem.location)
