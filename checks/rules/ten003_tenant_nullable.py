"""The tenant column is NOT NULL.

A row without a tenant belongs to nobody: no policy shows it, no foreign key is checked for
it, and the first "OR business_id IS NULL" that is meant to help shares it with everyone.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import defined
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
""",
    """
CREATE TABLE auto.bay (business_id uuid PRIMARY KEY);
""",
)
BAD = """
CREATE TABLE auto.bay (
    business_id uuid, -- here
    bay_id uuid NOT NULL
);
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in defined(catalog, tenancy):
        column = table.columns.get(tenancy.column)
        if column is not None and not column.not_null:
            yield Violation(
                str(table.name),
                f"{table.name}.{column.name} may be NULL",
                column.location,
                f"ALTER TABLE {qualified(table.name)}"
                f" ALTER COLUMN {quoted(column.name)} SET NOT NULL;",
            )
