"""Every index starts with the tenant column, or the comment above it says why not.

The row policy compares the tenant with every row; an index that starts with something else
leads through the rows of all tenants to the few of one.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer);
CREATE INDEX bay_number_idx ON auto.bay (business_id, number);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer);
-- Without business_id: the nightly job walks the bays of all tenants by number.
CREATE INDEX bay_number_idx ON auto.bay (number);
""",
)
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer);
-- Finds a bay by its number.
CREATE INDEX bay_number_idx ON auto.bay (number); -- here
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for index in table.indexes:
            explained = tenancy.column in (index.comment or "")
            if index.columns[0] != tenancy.column and not index.unique and not explained:
                columns = dict.fromkeys((tenancy.column, *index.columns))
                yield Violation(
                    f"{table.name.schema}.{index.name}",
                    f"index {index.name} starts with {index.columns[0]}",
                    index.location,
                    f"CREATE INDEX {quoted(index.name)}"
                    f" ON {qualified(table.name)} ({', '.join(columns)});",
                )
