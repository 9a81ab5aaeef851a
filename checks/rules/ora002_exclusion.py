"""Every EXCLUDE starts with the tenant column WITH =.

Otherwise a row of one tenant is refused because of a row of another, which tells the first
what the second has; Citus refuses such a constraint.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import quoted
from harness.catalog.model import Catalog, Constraint
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    during tstzrange,
    EXCLUDE USING gist (business_id WITH =, during WITH &&)
);
"""
BAD = (
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    during tstzrange,
    EXCLUDE USING gist (during WITH &&) -- here
);
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    during tstzrange,
    EXCLUDE USING gist (business_id WITH <>, during WITH &&) -- here
);
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for constraint in table.constraints:
            if constraint.kind == "exclude" and not _is_led(constraint, tenancy.column):
                yield Violation(
                    str(table.name),
                    f"exclusion constraint {constraint.name} of {table.name} compares the rows"
                    " of all tenants",
                    constraint.location,
                    f"EXCLUDE USING gist ({quoted(tenancy.column)} WITH =, …)",
                )


def _is_led(constraint: Constraint, tenant: str) -> bool:
    return constraint.columns[0] == tenant and constraint.operators[0] == "="
