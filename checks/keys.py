"""Foreign keys and the tenant column."""

from __future__ import annotations

from checks.wording import listed, qualified
from harness.catalog.model import Constraint
from harness.config import Tenancy


def lacks_tenant(key: Constraint, tenancy: Tenancy) -> bool:
    """Whether a foreign key may cross tenants; one to a shared table has none to cross."""
    if tenancy.shares(key.references):
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
