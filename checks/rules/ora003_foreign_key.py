"""Every foreign key starts with the tenant column, on both sides.

Foreign keys are checked past row security. Without the tenant in it a row may refer to a row
of another tenant, and the error for an id that does not exist tells which ids do.
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
    business_id uuid NOT NULL REFERENCES tenant_mgmt.business, bay_id uuid NOT NULL,
    PRIMARY KEY (business_id, bay_id)
);
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid,
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay
);
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid PRIMARY KEY);
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid REFERENCES auto.bay (bay_id) -- here
);
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL, owner_id uuid NOT NULL, UNIQUE (owner_id, business_id)
);
CREATE TABLE auto.lift (
    business_id uuid NOT NULL,
    bay_id uuid,
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (owner_id, business_id) -- here
);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, lender_id uuid);
ALTER TABLE auto.bay
    ADD FOREIGN KEY (lender_id) REFERENCES tenant_mgmt.business (business_id); -- here
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for key in table.foreign_keys:
            if key.on_delete != "cascade" and lacks_tenant(key, tenancy):
                yield Violation(
                    str(table.name),
                    f"{table.name} ({listed(*key.columns)}) may refer to the row of another tenant",
                    key.location,
                    with_tenant(key, tenancy),
                )
