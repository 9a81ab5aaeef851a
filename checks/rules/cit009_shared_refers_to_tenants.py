"""No table that tenants share refers to one that they do not.

A shared table is whole on every node, the rows of a tenant are on one: Citus refuses a foreign key
from the first to the second.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import listed
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(shared_tables=("auto.brand",))
GOOD = """
CREATE TABLE auto.brand (code text PRIMARY KEY);
CREATE TABLE auto.bay (
    business_id uuid NOT NULL REFERENCES tenant_mgmt.business,
    brand text REFERENCES auto.brand
);
"""
BAD = """
CREATE TABLE auto.brand (
    code text PRIMARY KEY,
    owner_id uuid REFERENCES tenant_mgmt.business -- here
);
"""


def check(distributed: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        for key in table.foreign_keys if tenancy.shares(table.name) else ():
            if not tenancy.shares(key.references):
                yield Violation(
                    str(table.name),
                    f"{table.name} ({listed(*key.columns)}) is shared and refers to"
                    f" {key.references}, which is not",
                    key.location,
                )
