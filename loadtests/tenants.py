"""Which tenants there are, how big they are, and what share of the load each gets.

Sizes are the planner's: how often each tenant stands in the tenant column, from pg_stats, so
that nothing is counted that a table of a hundred million rows would make slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection
from harness.errors import UsageError
from harness.metrics.tenants import rows, size_class

_KEY: LiteralString = """
SELECT a.attname
FROM pg_class AS c
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute AS a
    ON a.attrelid = c.oid
   AND (a.attname = %(column)s OR (i.indnatts = 1 AND a.attnum = i.indkey[0]))
WHERE c.oid = to_regclass(%(table)s)
ORDER BY a.attname <> %(column)s
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Shares:
    """How the load is shared out between tenants."""

    skew: float = 1.0
    """The n-th biggest tenant gets 1/n^skew of the first one's load (Zipf); 0: all the same."""
    hot: float = 0.0
    """The share of all requests that the biggest tenant gets besides; 0: no hot tenant."""


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """A tenant, its part of the load and the class that its latencies count for."""

    tenant: str
    weight: float
    size: str


def ids(connection: Connection, settings: Settings, tables: Iterable[Name]) -> list[str]:
    """All tenants: of the root table or, where there is none, of these tables.

    Raises UsageError where there is no tenant.
    """
    root = settings.tenancy.root_table
    found = {
        tenant
        for table in ([Name.parse(root)] if root else sorted(set(tables), key=str))
        for tenant in _ids(connection, table, settings.tenancy.column)
    }
    if not found:
        raise UsageError(f"{root or 'the database'} holds no tenant: run harness fill first")
    return sorted(found)


def _ids(connection: Connection, table: Name, column: str) -> list[str]:
    """A table's tenants by its tenant column or, of a root that has none, by its key."""
    row = connection.execute(
        _KEY, {"column": column, "table": table.identifier.as_string(connection)}
    ).fetchone()
    if row is None:
        raise UsageError(f"{table} has no column {column} to tell tenants by (tenancy.root_table)")
    rows = connection.execute(
        sql.SQL("SELECT DISTINCT {column}::text FROM {table} WHERE {column} IS NOT NULL").format(
            column=sql.Identifier(row[0]), table=table.identifier
        )
    )
    return [tenant for (tenant,) in rows.fetchall()]


def by_tenant(
    connection: Connection, settings: Settings, tenants: Iterable[str]
) -> Mapping[str, int]:
    """About how many rows each tenant has, the biggest first; 0 where nothing was analyzed."""
    known = rows(connection, settings.tenancy.column)
    sizes = {tenant: known.get(tenant, 0) for tenant in tenants}
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def loads(sizes: Mapping[str, int], shares: Shares) -> Iterator[TenantLoad]:
    """The tenants of `sizes`, biggest first, with their parts of the load."""
    weights = [1 / rank**shares.skew for rank in range(1, len(sizes) + 1)]
    if shares.hot:
        weights[0] += sum(weights) * shares.hot / (1 - shares.hot)
    equal = sum(sizes.values()) / len(sizes) if sizes else 0
    for place, (tenant, weight) in enumerate(zip(sizes, weights, strict=True)):
        hot = bool(shares.hot) and place == 0
        yield TenantLoad(tenant, weight, "hot" if hot else size_class(sizes[tenant], equal))
