"""Foreign keys lead from every table to the table of tenants.

A chain of NOT NULL foreign keys that carry the tenant proves that a row belongs to a tenant
that exists, and tells fill and delete their order. One that is NULL, or leads to another
tenant, proves nothing. The end of the chain needs a foreign key of its own only where no
parent has one.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import defined
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog, Name, Table
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    bay_id uuid NOT NULL,
    PRIMARY KEY (business_id, bay_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id)
);
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid NOT NULL,
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (business_id, bay_id)
);
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL); -- here
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    bay_id uuid NOT NULL,
    PRIMARY KEY (business_id, bay_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id)
);
CREATE TABLE auto.lift ( -- here
    business_id uuid NOT NULL,
    bay_id uuid,
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (business_id, bay_id)
);
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    root = Name.parse(tenancy.root_table)
    if root not in catalog.tables:
        return  # which TEN007 says
    reached = _reached(catalog, tenancy, root)
    for table in defined(catalog, tenancy):
        if table.name not in reached:
            column = quoted(tenancy.column)
            yield Violation(
                str(table.name),
                f"no NOT NULL foreign keys lead from {table.name} to {root}",
                table.location,
                f"ALTER TABLE {qualified(table.name)} ADD FOREIGN KEY ({column})"
                f" REFERENCES {qualified(root)};",  # its primary key, whatever that is called
            )


def _reached(catalog: Catalog, tenancy: Tenancy, root: Name) -> set[Name]:
    """Tables from which NOT NULL foreign keys with the tenant lead to the root."""
    reached = {root}
    waiting = list(catalog.tables.values())
    while True:
        further = [t for t in waiting if reached.intersection(_parents(t, tenancy.column))]
        if not further:
            return reached
        reached.update(table.name for table in further)
        waiting = [table for table in waiting if table.name not in reached]


def _parents(table: Table, tenant: str) -> Iterator[Name]:
    for key in table.foreign_keys:
        certain = all(table.columns[column].not_null for column in key.columns)
        if key.references and tenant in key.columns and certain:
            yield key.references
