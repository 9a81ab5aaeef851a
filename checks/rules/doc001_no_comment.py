"""Where most tables say in a comment what a row of them is, every table does.

Comments are the data dictionary: `harness schema docs` renders them, psql shows them. A schema
without comments follows another convention.
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
    tables = [table for table in catalog.tables.values() if table.partition_of is None]
    commented = sum(bool(table.comment) for table in tables)
    for table in tables if 2 * commented >= len(tables) else ():
        if not table.comment:
            yield Violation(
                str(table.name),
                f"{table.name} has no comment",
                table.location,
                f"COMMENT ON TABLE {qualified(table.name)} IS 'What one row is.';",
            )
