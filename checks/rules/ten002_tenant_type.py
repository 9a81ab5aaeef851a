"""The tenant column has the same type everywhere.

A tenant column of another type is compared after a cast, which hides it from its index, and
cannot be part of a foreign key to a table where the type is right. text and varchar(n) are the
same in both.
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
)
BAD = """
CREATE TABLE auto.bay (
    business_id text NOT NULL, -- here
    bay_id uuid NOT NULL
);
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in defined(catalog, tenancy):
        column = table.columns.get(tenancy.column)
        if column is not None and _same(column.type) != _same(tenancy.type):
            yield Violation(
                str(table.name),
                f"{table.name}.{column.name} is {column.type} and not {tenancy.type}",
                column.location,
                f"ALTER TABLE {qualified(table.name)} ALTER COLUMN {quoted(column.name)}"
                f" TYPE {tenancy.type} USING {quoted(column.name)}::{tenancy.type};",
            )


def _same(type: str) -> str:
    """One name for the types that are compared, indexed and referred to as one."""
    return "text" if type.startswith("character varying") else type
