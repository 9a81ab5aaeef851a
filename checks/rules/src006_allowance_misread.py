"""Every allowance says which rule it allows, and why.

An allowance that is not understood suppresses nothing, and whoever wrote it believes otherwise. The
reason is for those who meet the statement later; `until` is the last day on which it counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.allowance import Applied
from checks.rule import Violation
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
-- harness: allow ORA001 reason="a slug is global on purpose: it is part of the URL"
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
"""
BAD = (
    """
-- harness: allow ORA001 -- here
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    slug text UNIQUE -- harness: allow ORA999 reason="a slug is global" -- here
);
""",
    """
-- harness: allow ORA001 reason="a slug is global" until=soon -- here
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
""",
    """
-- harness: ignore ORA001 reason="a slug is global" -- here
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
""",
)


def check(allowances: Applied) -> Iterator[Violation]:
    for misread in allowances.misread:
        yield Violation(misread.object, misread.message, misread.location)
