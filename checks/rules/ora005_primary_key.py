"""Every primary key starts with the tenant column.

A key over all tenants is an oracle for their ids, a sequential one tells how many rows they
have, and its index does not serve the row policy. Citus refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.keys import tenant_key
from checks.rule import Violation
from checks.subjects import defined
from checks.wording import listed
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL, bay_id uuid NOT NULL, PRIMARY KEY (business_id, bay_id)
);
"""
BAD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    bay_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY -- here
);
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in defined(catalog, tenancy):
        key = table.primary_key
        if key is not None and key.columns[0] != tenant_key(table, tenancy):
            better = dict.fromkeys((tenancy.column, *key.columns))
            yield Violation(
                str(table.name),
                f"the primary key of {table.name} starts with {key.columns[0]}",
                key.location,
                f"PRIMARY KEY ({listed(*better)})",
            )
