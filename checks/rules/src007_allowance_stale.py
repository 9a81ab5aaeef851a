"""Every allowance suppresses something.

What it once allowed is mended or has moved. Left behind, it would hide the next finding of the rule
in that place, for a reason that nobody thought of then.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.allowance import Applied
from checks.rule import Violation
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    slug text UNIQUE -- harness: allow ORA001 reason="a slug is part of the URL"
);
"""
BAD = (
    """
-- harness: allow ORA001 reason="a slug is part of the URL" -- here
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text, UNIQUE (business_id, slug));
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
-- harness: allow ORA001 reason="a slug is part of the URL" -- here
COMMENT ON TABLE auto.bay IS 'A place to work at.';
""",
)


def check(allowances: Applied) -> Iterator[Violation]:
    for allowance in allowances.stale:
        yield Violation(
            allowance.extent.object or allowance.extent.file,
            f"the allowance of {allowance.rule} suppresses nothing; delete it",
            allowance.location,
        )
