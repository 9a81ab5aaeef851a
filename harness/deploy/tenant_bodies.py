"""Functions of one tenant, as the node that has the tenant runs them: with bodies that name shards.

A function that runs where its tenant's rows are, because a query of the tenant calls it, would plan
each of its statements as a distributed query, and anew each time: ten to fifty times the work of a
plan that PL/pgSQL has kept. But all that it reads and writes lies in shards of the same hashes, on
that node. So it gets its body once for each interval of hashes, with shards where tables were
named, and begins by asking which of them is here. Where none is, as on the coordinator, it is as it
was.

`harness.shard_here` says it, and keeps the shard here until the transaction ends: Citus moves one
when nobody holds the lock that every distributed statement takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, LiteralString

from pglast.visitors import Visitor
from psycopg import sql

from harness.catalog.model import Name
from harness.catalog.shard_names import Named, on_shards
from harness.config import Roles, Tenancy
from harness.db import Connection
from harness.deploy import bodies, queries
from harness.deploy.replacing import replace
from harness.deploy.translation import whose_function

_CREATE: LiteralString = """
CREATE FUNCTION harness.shard_here(tenant {type}) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shard bigint;
BEGIN
    IF tenant IS NULL THEN
        RETURN NULL;
    END IF;
    shard := get_shard_id_for_distribution_column({root}::regclass, tenant);
    IF NOT EXISTS (SELECT FROM pg_dist_placement AS p JOIN pg_dist_local_group AS l USING (groupid)
                   WHERE p.shardid = shard) THEN
        RETURN NULL;
    END IF;
    -- ShareLock, which moving a shard waits for; it may have been moved until then.
    PERFORM lock_shard_metadata(5, ARRAY[shard]);
    RETURN (SELECT p.shardid FROM pg_dist_placement AS p JOIN pg_dist_local_group AS l
                USING (groupid) WHERE p.shardid = shard);
END
$$
"""
_FUNCTIONS = """
SELECT pg_get_functiondef(p.oid), p.prosrc
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_roles AS r ON r.oid = p.proowner
WHERE l.lanname = 'plpgsql' AND p.prorettype <> 'trigger'::regtype
  -- What acts for one whom row security does not bind may be about several tenants.
  AND NOT (p.prosecdef AND (r.rolsuper OR r.rolbypassrls))
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'harness')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass
                  AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid
"""
_STAYS = re.compile(
    r"\b(?:EXECUTE|COMMIT|ROLLBACK|CREATE|ALTER|DROP|TRUNCATE|COPY|ON\s+CONSTRAINT|LOCK\s+TABLE"
    r"|regclass|tableoid|SET\s+LOCAL)\b",
    re.IGNORECASE,
)
"""What puts statements together, changes tables or their tenant, or knows tables by their names."""
_ANY_ROW = {"to_jsonb", "to_json", "row_to_json", "count"}
"""Functions that take a row of whatever table."""


def name_shards(connection: Connection, tenancy: Tenancy, roles: Roles, named: Named) -> None:
    """Gives functions of one tenant a body for each interval of hashes; to be done once, when all
    tables are distributed. As a superuser, for nobody else may lock shards."""
    divided = {name: table for name, table in named.tables.items() if not table.shared}
    if not divided:
        return
    first = min(divided, key=lambda name: divided[name].ids)
    _make_asking(connection, first, tenancy, roles)
    functions = connection.execute(_FUNCTIONS).fetchall()
    ids = divided[first].ids
    told = (_told(definition, body, tenancy, ids, named) for definition, body in functions)
    replace(connection, list(filter(None, told)))


def _told(
    definition: str, body: str, tenancy: Tenancy, ids: Sequence[int], named: Named
) -> str | None:
    """The function with its bodies; None where it stays as it is."""
    tenant = whose_function(definition, tenancy)
    if not tenant or not may_name_shards(definition, body):
        return None
    text = by_tenant(body, tenant, ids, named)
    return definition.replace(body, text) if text != body else None


def may_name_shards(definition: str, body: str) -> bool:
    """Whether a function reads and writes the same by the names of shards as by those of tables."""
    if _STAYS.search(bodies.without_texts(body)):
        return False
    rows = (_Rows(tree) for tree in queries.trees(definition))
    return not any(each.aliases & each.whole for each in rows)


def by_tenant(body: str, tenant: str, ids: Sequence[int], named: Named) -> str:
    """The body for each interval, whose shards of one table are known by their ids, and as it is
    for a node that has none of the tenant; the same where it names no table."""
    pragmas, rest = bodies.without_pragmas(body)
    texts = [on_shards(rest, place, named) for place in range(len(ids))]
    if texts[0] == rest:
        return body
    cases = [
        f"WHEN {shard} THEN\n{bodies.as_block(text)}"
        for shard, text in zip(ids, texts, strict=True)
    ]
    chosen = "\n".join(
        [f"CASE harness.shard_here({tenant})", *cases, "ELSE", bodies.as_block(rest), "END CASE;"]
    )
    return f"{pragmas}BEGIN\n{chosen}\nEND\n"


def _make_asking(connection: Connection, table: Name, tenancy: Tenancy, roles: Roles) -> None:
    root = sql.Literal(table.identifier.as_string(connection))
    connection.execute(sql.SQL(_CREATE).format(type=sql.SQL(tenancy.type), root=root))
    named = (roles.owner, roles.app, roles.readonly, roles.matview_owner, roles.loader)
    for role in filter(None, (*named, *roles.others)):
        grant = sql.SQL("GRANT USAGE ON SCHEMA harness TO {}").format(sql.Identifier(role))
        connection.execute(grant)


class _Rows(Visitor):
    """The tables of a query by their aliases, and what it takes as a whole row.

    A shard's row is of another type than its table's.
    """

    def __init__(self, tree: Any) -> None:
        self.aliases: set[str] = set()
        self.whole: set[str] = set()
        self._of_any_type: set[int] = set()
        self(tree)

    def visit_RangeVar(self, _: Any, node: Any) -> None:
        if node.schemaname:
            self.aliases.add(str(node.alias.aliasname if node.alias else node.relname))

    def visit_FuncCall(self, _: Any, node: Any) -> None:
        if str(node.funcname[-1].sval) in _ANY_ROW:
            self._of_any_type |= {_place(each) for each in node.args or ()}

    def visit_NullTest(self, _: Any, node: Any) -> None:
        self._of_any_type.add(_place(node.arg))

    def visit_ColumnRef(self, _: Any, node: Any) -> None:
        if len(node.fields) == 1 and node.location not in self._of_any_type:
            self.whole.add(str(getattr(node.fields[0], "sval", "*")))


def _place(node: Any) -> int:
    return int(getattr(node, "location", -1))
