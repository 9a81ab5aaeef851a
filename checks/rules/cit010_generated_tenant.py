"""The tenant column is not generated from others.

Citus sends a row where its key says before any expression is computed, and refuses to distribute by
such a column.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, label text
    GENERATED ALWAYS AS (upper(name)) STORED);
"""
BAD = """
CREATE TABLE auto.bay (
    owner_id uuid NOT NULL,
    business_id uuid GENERATED ALWAYS AS (owner_id) STORED NOT NULL -- here
);
"""


def check(distributed: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        column = table.columns.get(tenancy.column)
        if column is not None and column.generated is not None:
            yield Violation(
                str(table.name),
                f"{table.name}.{column.name} is generated, and rows are placed by it",
                column.location,
                f"ALTER TABLE {qualified(table.name)}"
                f" ALTER COLUMN {quoted(column.name)} DROP EXPRESSION;",
            )
