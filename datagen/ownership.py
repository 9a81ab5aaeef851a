"""Whose the rows of a table are: a tenant's, or everybody's.

A table is a tenant's when it has the tenant column, is the table of tenants, or refers to a table
that is. All others are filled once, as is a whole schema that has no tenant column at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.catalog.model import Constraint, Name, Table
from harness.config import Tenancy


def tenant_column(table: Table, tenancy: Tenancy) -> str | None:
    """The column that tells whose a row is; of the table of tenants its key, where that has
    another name."""
    if tenancy.column in table.columns:
        return tenancy.column
    key = table.primary_key
    root = bool(tenancy.root_table) and table.name == Name.parse(tenancy.root_table)
    return key.columns[0] if root and key is not None and len(key.columns) == 1 else None


def owned(tables: Iterable[Table], tenancy: Tenancy) -> frozenset[Name]:
    """The tables whose rows belong to a tenant.

    A table that the settings call shared is a tenant's only when it has the tenant column or
    cannot do without a row of a tenant.
    """
    tables = list(tables)
    found = {table.name for table in tables if tenant_column(table, tenancy)}
    while True:
        further = {
            table.name
            for table in tables
            if table.name not in found
            and any(_binds(table, key, found, tenancy) for key in table.foreign_keys)
        }
        if not further:
            return frozenset(found)
        found |= further


def _binds(table: Table, key: Constraint, found: set[Name], tenancy: Tenancy) -> bool:
    if key.references not in found:
        return False
    return not tenancy.shares(table.name) or all(table.columns[c].not_null for c in key.columns)
