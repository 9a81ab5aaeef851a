"""Every UNIQUE holds the tenant column.

A value that is unique over all tenants is an oracle: the error of a duplicate key, or an ON
CONFLICT DO NOTHING that inserts nothing, tells one tenant what another one has. Citus refuses
such a key.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import isolated
from harness.catalog.model import Catalog, Constraint, Index
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, UNIQUE (business_id, name));
CREATE UNIQUE INDEX bay_name_idx ON auto.bay (business_id, lower(name));
CREATE UNIQUE INDEX bay_other_idx ON auto.bay (name, business_id);
CREATE INDEX bay_plain_idx ON auto.bay (name);
"""
BAD = (
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    name text UNIQUE -- here
);
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text);
CREATE UNIQUE INDEX bay_name_idx ON auto.bay (lower(name)); -- here
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        keys: list[Constraint | Index] = [c for c in table.constraints if c.kind == "unique"]
        keys += [index for index in table.indexes if index.unique]
        for key in keys:
            if tenancy.column not in key.columns:
                columns = ", ".join(key.columns)
                better = dict.fromkeys((tenancy.column, *key.columns))
                yield Violation(
                    str(table.name),
                    f"({columns}) of {table.name} is unique over all tenants",
                    key.location,
                    f"UNIQUE ({', '.join(better)})",
                )
