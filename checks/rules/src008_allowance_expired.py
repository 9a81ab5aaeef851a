"""No allowance is past its last day.

What it allowed is found again from the day after `until`. Mend it, or give the allowance another
day.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.allowance import Applied
from checks.rule import Violation
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
-- harness: allow ORA001 reason="until the new URLs are out" until=9999-12-31
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
"""
BAD = """
-- harness: allow ORA001 reason="until the new URLs are out" until=2020-06-30 -- here
CREATE TABLE auto.bay (business_id uuid NOT NULL, slug text UNIQUE);
"""


def check(allowances: Applied) -> Iterator[Violation]:
    for allowance in allowances.expired:
        yield Violation(
            allowance.extent.object or allowance.extent.file,
            f"the allowance of {allowance.rule} ended on {allowance.until}",
            allowance.location,
        )
