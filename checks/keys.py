"""Keys and the tenant column."""

from __future__ import annotations

from checks.wording import listed, qualified
from harness.catalog.model import Constraint, Table
from harness.config import Tenancy


def tenant_key(table: Table, tenancy: Tenancy) -> str | None:
    """The column that says whose a row is: the tenant column, or the key of the table of tenants
    where that has another name, as tenants.id beside tenant_id."""
    if tenancy.column in table.columns:
        return tenancy.column
    key = table.primary_key
    root = str(table.name) == tenancy.root_table
    return key.columns[0] if root and key is not None and len(key.columns) == 1 else None


def lacks_tenant(key: Constraint, tenancy: Tenancy) -> bool:
    """Whether a foreign key may cross tenants; one to a shared table has none to cross, and one of
    the tenant column to the table of tenants is the tenant itself."""
    to_root = str(key.references) == tenancy.root_table
    if tenancy.shares(key.references) or (to_root and key.columns == (tenancy.column,)):
        return False
    leads = (key.columns[:1], key.referenced_columns[:1])
    return leads != ((tenancy.column,), (tenancy.column,))


def with_tenant(key: Constraint, tenancy: Tenancy) -> str:
    """The foreign key as it should be: it begins with the tenant on both sides."""
    pairs = zip(key.columns, key.referenced_columns, strict=False)
    others = [pair for pair in pairs if tenancy.column not in pair]
    ours = listed(tenancy.column, *(own for own, _ in others))
    theirs = listed(tenancy.column, *(other for _, other in others))
    target = qualified(key.references) if key.references else ""
    return f"FOREIGN KEY ({ours}) REFERENCES {target} ({theirs})"
