"""A publication of a table with tenants has a row filter.

A subscriber gets the rows of all tenants: row security does not apply to logical replication.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE PUBLICATION one_tenant FOR TABLE auto.bay
    WHERE (business_id = '00000000-0000-0000-0000-000000000001');
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE PUBLICATION everything FOR TABLE auto.bay; -- here
"""


def check(source: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for published in source.publications:
        if not published.filtered and not tenancy.shares(published.table):
            yield Violation(
                str(published.table),
                f"publication {published.name} sends all tenants of {published.table}",
                published.location,
                f"ALTER PUBLICATION {quoted(published.name)} DROP TABLE"
                f" {qualified(published.table)};",
            )
