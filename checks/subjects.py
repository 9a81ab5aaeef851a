"""Which tables a rule is about."""

from __future__ import annotations

from collections.abc import Iterator

from harness.catalog.model import Catalog, Table
from harness.config import Tenancy


def isolated(catalog: Catalog, tenancy: Tenancy) -> Iterator[Table]:
    """Tables that must keep their tenants apart: all but those that are declared shared."""
    for table in catalog.tables.values():
        if not tenancy.shares(table.name):
            yield table


def defined(catalog: Catalog, tenancy: Tenancy) -> Iterator[Table]:
    """The isolated tables without partitions, whose columns and keys are their parent's."""
    return (table for table in isolated(catalog, tenancy) if table.partition_of is None)
