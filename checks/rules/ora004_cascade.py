"""No foreign key without the tenant column cascades.

Deleting a row would delete the rows of other tenants that refer to it, past row security.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.keys import lacks_tenant, with_tenant
from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import listed
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL, bay_id uuid NOT NULL, PRIMARY KEY (business_id, bay_id)
);
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid,
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay ON DELETE CASCADE
);
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid PRIMARY KEY);
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid REFERENCES auto.bay (bay_id) ON DELETE CASCADE -- here
);
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for key in table.foreign_keys:
            if key.on_delete == "cascade" and lacks_tenant(key, tenancy):
                yield Violation(
                    str(table.name),
                    f"{table.name} ({listed(*key.columns)}) goes with the row of another tenant",
                    key.location,
                    with_tenant(key, tenancy),
                )
