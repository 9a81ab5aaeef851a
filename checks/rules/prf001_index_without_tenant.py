"""An index leads with the tenant, and any other one says why it does not.

The row policy compares the tenant with every row; an index that starts with something else
leads through the rows of all tenants to the few of one.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import defined, isolated
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog, Constraint, Index, Table
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer);
CREATE INDEX bay_number_idx ON auto.bay (business_id, number);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer, UNIQUE (business_id, number));
-- Without business_id: the nightly job walks the bays of all tenants by number.
CREATE INDEX bay_number_idx ON auto.bay (number);
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer, UNIQUE (business_id, number));
-- Finds a bay by its number.
CREATE INDEX bay_number_idx ON auto.bay (number); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, number integer); -- here
""",
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    number integer,
    place integer,
    UNIQUE (business_id, number),
    UNIQUE (place, business_id) -- here
);
CREATE UNIQUE INDEX bay_number_idx ON auto.bay (number, business_id); -- here
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        for index in table.indexes:
            explained = tenancy.column in (index.comment or "")
            if _leads_elsewhere(index, tenancy.column) and not explained:
                columns = dict.fromkeys((tenancy.column, *index.columns))
                yield Violation(
                    f"{table.name.schema}.{index.name}",
                    f"index {index.name} starts with {index.columns[0]}",
                    index.location,
                    f"CREATE INDEX {quoted(index.name)}"
                    f" ON {qualified(table.name)} ({', '.join(columns)});",
                )
        for key in table.constraints:
            if key.kind == "unique" and _leads_elsewhere(key, tenancy.column):
                columns = dict.fromkeys((tenancy.column, *key.columns))
                yield Violation(
                    str(table.name),
                    f"UNIQUE ({', '.join(key.columns)}) of {table.name} starts with"
                    f" {key.columns[0]}",
                    key.location,
                    f"UNIQUE ({', '.join(columns)})",
                )
    for table in defined(catalog, tenancy):
        if tenancy.column in table.columns and not _has_index(table, tenancy.column):
            yield Violation(
                str(table.name),
                f"no index of {table.name} starts with {tenancy.column}",
                table.location,
                f"CREATE INDEX ON {qualified(table.name)} ({quoted(tenancy.column)});",
            )


def _leads_elsewhere(key: Index | Constraint, tenant: str) -> bool:
    """Whether it starts with something else than the tenant; one that is unique over all tenants
    is found by ORA001."""
    unique = isinstance(key, Constraint) or key.unique
    return key.columns[0] != tenant and (not unique or tenant in key.columns)


def _has_index(table: Table, tenant: str) -> bool:
    """Whether an index leads with the tenant; a key that does not is found by ORA005."""
    keys = [c.columns for c in table.constraints if c.kind in ("primary key", "unique")]
    whole = [index.columns for index in table.indexes if index.predicate is None]
    return any(columns[:1] == (tenant,) for columns in (*keys, *whole))
