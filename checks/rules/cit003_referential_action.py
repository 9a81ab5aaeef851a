"""A foreign key changes no column of the rows that refer to it.

Citus refuses SET NULL, SET DEFAULT and ON UPDATE CASCADE on a key with the tenant in it, even as
SET NULL of the other columns alone; where they work, they would clear or move the tenant as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import listed
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business ON DELETE CASCADE
);
"""
BAD = (
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business ON DELETE SET NULL -- here
);
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business ON UPDATE CASCADE -- here
);
""",
)


def check(distributed: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        for key in (key for key in table.foreign_keys if tenancy.column in key.columns):
            for event, action in (("DELETE", key.on_delete), ("UPDATE", key.on_update)):
                if action.startswith("set ") or (event, action) == ("UPDATE", "cascade"):
                    yield Violation(
                        str(table.name),
                        f"foreign key ({listed(*key.columns)}) of {table.name}"
                        f" is ON {event} {action.upper()}",
                        key.location,
                    )
