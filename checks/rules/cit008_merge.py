"""No function uses MERGE.

Citus refuses it on a table whose policy calls a function that is not IMMUTABLE, as every policy
does that asks for the tenant, and from a source that is no table of its own. INSERT with ON
CONFLICT does the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import mentions, saying
from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid, number int, PRIMARY KEY (business_id, number));
CREATE FUNCTION auto.keep() RETURNS void LANGUAGE sql AS $$
    INSERT INTO auto.bay VALUES (tenant_mgmt.current_business_id(), 1) ON CONFLICT DO NOTHING;
$$;
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid, number int, PRIMARY KEY (business_id, number));
CREATE FUNCTION auto.keep() RETURNS void LANGUAGE sql AS $$
    MERGE INTO auto.bay AS b USING (SELECT tenant_mgmt.current_business_id() AS id) AS v -- here
    ON b.business_id = v.id
    WHEN NOT MATCHED THEN INSERT VALUES (v.id, 1);
$$;
"""

# As a statement: texts of messages speak of merging into something as well.
_MERGE = r"\bMERGE\s+INTO\s+(?:ONLY\s+)?[\w.\"]+(?:\s+(?:AS\s+)?\w+)?\s+USING\b"


def check(distributed: Source) -> Iterator[Violation]:
    for function, location in mentions(distributed, _MERGE, saying(distributed, "merge")):
        yield Violation(
            function.signature,
            f"{function.signature} uses MERGE, which Citus refuses on tables with such policies",
            location,
        )
