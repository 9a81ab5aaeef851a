"""Every table has row level security enabled.

Without it a policy is a dead letter: whoever may read the table reads the rows of all tenants.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import qualified
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
ALTER TABLE auto.bay FORCE ROW LEVEL SECURITY;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
ALTER TABLE auto.bay DISABLE ROW LEVEL SECURITY; -- here
""",
    """
CREATE TABLE auto.visit (business_id uuid NOT NULL, at timestamptz) PARTITION BY RANGE (at);
ALTER TABLE auto.visit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE TABLE auto.visit_default PARTITION OF auto.visit DEFAULT; -- here
""",
)


def check(source: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(source.catalog, tenancy):
        if not table.row_security:
            yield Violation(
                str(table.name),
                f"row level security of {table.name} is not enabled",
                source.switched_off.get((table.name, "enable"), table.location),
                f"ALTER TABLE {qualified(table.name)} ENABLE ROW LEVEL SECURITY;",
            )
