"""An identity or serial column is bigint.

A Citus worker takes its values from a range of its own, far above what an integer holds: the
first insert through a worker fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid, number bigint GENERATED ALWAYS AS IDENTITY);
"""
BAD = (
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    number integer GENERATED ALWAYS AS IDENTITY -- here
);
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    number serial -- here
);
""",
)


def check(distributed: Source) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        for column in table.columns.values():
            numbered = column.identity or (column.default or "").startswith("nextval(")
            if numbered and column.type in ("integer", "smallint"):
                yield Violation(
                    str(table.name),
                    f"{table.name}.{column.name} numbers its rows with {column.type}",
                    column.location,
                    f"{quoted(column.name)} bigint GENERATED ALWAYS AS IDENTITY",
                )
