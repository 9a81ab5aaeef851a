"""Every table says in a comment what one row of it is.

Comments are the data dictionary: `harness schema docs` renders them, psql shows them.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified
from harness.catalog.model import Catalog
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
COMMENT ON TABLE auto.bay IS 'A place where one vehicle is worked on.';
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL); -- here
COMMENT ON TABLE auto.bay IS '';
""",
)


def check(catalog: Catalog) -> Iterator[Violation]:
    for table in catalog.tables.values():
        if table.partition_of is None and not table.comment:
            yield Violation(
                str(table.name),
                f"{table.name} has no comment",
                table.location,
                f"COMMENT ON TABLE {qualified(table.name)} IS 'What one row is.';",
            )
