"""Every table has row level security forced.

Enabled alone it does not hold for the table's owner, and every role that is or becomes the
owner (a migration, a SECURITY DEFINER function, a plain view) reads all tenants.
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
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
ALTER TABLE auto.bay FORCE ROW LEVEL SECURITY;
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE auto.bay NO FORCE ROW LEVEL SECURITY; -- here
""",
)


def check(source: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(source.catalog, tenancy):
        if not table.force_row_security:
            yield Violation(
                str(table.name),
                f"row level security of {table.name} is not forced",
                source.switched_off.get((table.name, "force"), table.location),
                f"ALTER TABLE {qualified(table.name)} FORCE ROW LEVEL SECURITY;",
            )
