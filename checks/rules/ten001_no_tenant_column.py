"""Every table carries the tenant column.

It is what row policies compare, what Citus distributes by and what keeps the keys of two
tenants apart; a table without it can only be reached through its parent's good will.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.keys import tenant_key
from checks.rule import Violation
from checks.subjects import defined
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(root_table="auto.owner")
GOOD = """
CREATE TABLE auto.owner (id uuid PRIMARY KEY);
CREATE TABLE auto.bay (business_id uuid NOT NULL REFERENCES auto.owner (id), bay_id uuid NOT NULL);
"""
BAD = """
CREATE TABLE auto.bay (bay_id uuid NOT NULL); -- here
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in defined(catalog, tenancy):
        if tenant_key(table, tenancy) is None:
            yield Violation(
                str(table.name),
                f"{table.name} has no column {tenancy.column}",
                table.location,
                f"ALTER TABLE {qualified(table.name)}"
                f" ADD COLUMN {quoted(tenancy.column)} {tenancy.type} NOT NULL;",
            )
