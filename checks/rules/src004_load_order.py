"""Everything is created once, and before it is used.

The files are loaded in the order in which they stand; a name that does not exist yet stops
the deploy, and a second definition of the same name hides which one counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id)
);
"""
BAD = (
    """
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid NOT NULL,
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (business_id, bay_id) -- here
);
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, email auto.email); -- here
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    number integer DEFAULT auto.next_number() -- here
);
""",
    """
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY; -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid); -- here
""",
    """
GRANT USAGE ON SCHEMA rest TO app_user; -- here
""",
    """
CREATE VIEW auto.board WITH (security_invoker = true) AS
    SELECT business_id FROM auto.bay; -- here
""",
)


def check(source: Source) -> Iterator[Violation]:
    for problem in source.problems:
        if problem.kind == "unresolved":
            yield Violation(problem.object, problem.message, problem.location)
