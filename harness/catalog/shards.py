"""Where on a Citus cluster the rows of one tenant are: a shard of each table, on one node."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from harness.catalog.model import Name
from harness.db import Connection

# A name that is too long is cut and hashed, so it is Citus' to say.
_SHARDS = """
SELECT n.nspname, c.relname, parse_ident(shard_name(s.logicalrelid, s.shardid, false)),
       d.nodename, d.nodeport
FROM pg_dist_shard AS s
JOIN pg_dist_partition AS p USING (logicalrelid)
JOIN pg_class AS c ON c.oid = s.logicalrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_dist_placement AS l USING (shardid)
JOIN pg_dist_node AS d ON d.groupid = l.groupid AND d.noderole = 'primary'
WHERE CASE p.partmethod WHEN 'n' THEN true
           ELSE s.shardid = get_shard_id_for_distribution_column(s.logicalrelid, %s::text) END
"""
_HOMES = """
SELECT place, get_shard_id_for_distribution_column(%s::regclass, tenant)
FROM unnest(%s::text[]) WITH ORDINALITY AS t(tenant, place) ORDER BY place
"""
Tenant = TypeVar("Tenant")


class Shard(NamedTuple):
    """The part of a table that holds a tenant; of a table that all share, a copy."""

    name: Name
    host: str
    port: int


def of_tenant(connection: Connection, tenant: Any) -> dict[Name, Shard]:
    """The shards of a tenant by their tables."""
    return {
        Name(schema, table): Shard(Name(*shard), host, port)
        for schema, table, shard, host, port in connection.execute(_SHARDS, [str(tenant)])
    }


def together(connection: Connection, table: Name, tenants: list[Tenant]) -> list[Tenant]:
    """Two of the tenants whose rows are in the same shard; the two first where there are none."""
    return sharing(homes(connection, table, tenants)) or tenants[:2]


def homes(
    connection: Connection, table: Name, tenants: Sequence[Tenant]
) -> list[tuple[int, Tenant]]:
    """The tenants in their order, each with the shard that holds its rows."""
    qualified = table.identifier.as_string(connection)
    found = connection.execute(_HOMES, [qualified, list(map(str, tenants))])
    return [(shard, tenants[place - 1]) for place, shard in found]


def sharing(homes: Iterable[tuple[Hashable, Tenant]]) -> list[Tenant]:
    """The first two that have the same home; nobody where all live alone."""
    first: dict[Hashable, Tenant] = {}
    for home, tenant in homes:
        if home in first:
            return [first[home], tenant]
        first[home] = tenant
    return []
