"""SQL to paste: names quoted where they must be, and the canonical row security lines."""

from __future__ import annotations

import re

from pglast.keywords import RESERVED_KEYWORDS

from harness.catalog.model import Name
from harness.config import Tenancy

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    if _PLAIN.fullmatch(name) and name not in RESERVED_KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(name: Name) -> str:
    """A schema-qualified name as SQL writes it."""
    return f"{quoted(name.schema)}.{quoted(name.name)}"


def listed(*names: str) -> str:
    """Names as SQL lists them."""
    return ", ".join(map(quoted, names))


def tenant_predicate(tenancy: Tenancy) -> str:
    """The one expression that every policy consists of."""
    return f"{quoted(tenancy.column)} = {tenancy.current_tenant}"


def tenant_policy(table: Name, tenancy: Tenancy) -> str:
    """The canonical policy of a table, ready to paste."""
    return (
        f"CREATE POLICY tenant_isolation ON {qualified(table)}\n"
        f"    USING ({tenant_predicate(tenancy)});"
    )
