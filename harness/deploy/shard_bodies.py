"""Trigger functions as a cluster needs them: with bodies that name shards.

A trigger of a distributed table runs on its shards, and a query that names a distributed table is
planned by Citus, anew each time, and knows nothing of the rows that the statement changed. But what
those refer to lies in shards of the same hashes, on the same node. So such a function gets its body
once for each interval of hashes, with shards where tables were named and with the queries of views
in place of these, and begins by asking on which shard it is. To the node these are plain statements
of its own tables, whose plans are kept.

Shards keep their names when Citus moves them, and a new node gets the functions with the rest. One
that is split, and one of a later partition, gets a name that the function does not know: it is as
it was then, or, where it reads changed rows beside tables, says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.catalog.model import Name
from harness.catalog.shard_names import Named, Spread, on_shards
from harness.db import Connection
from harness.deploy import bodies, limits, tenant_bodies
from harness.deploy.replacing import replace
from harness.deploy.script import Transition

_FUNCTIONS = """
SELECT pn.nspname, p.proname, pg_get_functiondef(p.oid), p.prosrc,
       array_remove(array_agg(DISTINCT names.name::text), NULL),
       array_agg(DISTINCT ARRAY[cn.nspname::text, c.relname::text])
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_namespace AS pn ON pn.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
CROSS JOIN LATERAL (VALUES (t.tgoldtable), (t.tgnewtable)) AS names (name)
WHERE NOT t.tgisinternal AND l.lanname = 'plpgsql'
GROUP BY pn.nspname, p.proname, p.oid
ORDER BY p.oid
"""
# In the order of their hashes; of a table that all share, which has none, its one shard.
_SHARDS = """
SELECT n.nspname, c.relname, p.partmethod = 'n',
       array_agg(s.shardid ORDER BY s.shardminvalue::bigint),
       array_agg((parse_ident(shard_name(s.logicalrelid, s.shardid, false)))[2]
                 ORDER BY s.shardminvalue::bigint)
FROM pg_dist_shard AS s
JOIN pg_dist_partition AS p USING (logicalrelid)
JOIN pg_class AS c ON c.oid = s.logicalrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.partmethod IN ('h', 'n')
GROUP BY n.nspname, c.relname, p.partmethod
"""
_VIEWS = """
SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_SHARD = "substring(TG_TABLE_NAME FROM '[0-9]+$')"
_UNKNOWN = (
    "RAISE EXCEPTION 'shard % was not there when the schema was deployed', TG_RELID::regclass\n"
    "    USING HINT = 'A trigger of it names shards: make the database anew.';"
)


_NOWHERE = Spread(())


def name_shards(connection: Connection, named: Named) -> None:
    """Gives the functions of triggers a body for each interval of hashes; to be done once, when all
    tables are distributed."""
    functions = connection.execute(_FUNCTIONS).fetchall()
    told = (
        _told(Transition(Name(schema, name), tuple(changed)), definition, body, tables, named)
        for schema, name, definition, body, changed, tables in functions
    )
    replace(connection, list(filter(None, told)))


def _told(
    transition: Transition,
    definition: str,
    body: str,
    tables: Sequence[Sequence[str]],
    named: Named,
) -> str | None:
    """The function with its bodies; None where it stays as it is."""
    firing = [named.tables.get(Name(*table), _NOWHERE) for table in tables]
    if not all(table.ids and not table.shared for table in firing):
        return None
    changed = transition.tables
    if changed and named.tables.keys() & _read_beside(body, transition, named):
        text = by_shard(body, firing, named, _UNKNOWN)
    elif not changed and tenant_bodies.may_name_shards(definition, body):
        text = by_shard(body, firing, named)
    else:
        return None
    return definition.replace(body, text) if text != body else None


def read(connection: Connection) -> Named:
    """What stands for tables and views on the nodes."""
    tables = {
        Name(schema, table): Spread(tuple(names), tuple(ids), shared)
        for schema, table, shared, ids, names in connection.execute(_SHARDS)
    }
    views = {Name(schema, view): query for schema, view, query in connection.execute(_VIEWS)}
    return Named(tables, views)


def _read_beside(body: str, transition: Transition, named: Named) -> set[Name]:
    """The tables that stand in a statement with the changed rows, those of views too."""
    waiting = {Name.parse(name) for name in limits.read_beside(body, transition)}
    found: set[Name] = set()
    while waiting:
        found |= waiting
        queries = [named.views[name] for name in waiting & named.views.keys()]
        waiting = {Name.parse(each) for query in queries for each in limits.named(query)} - found
    return found


def by_shard(body: str, firing: Iterable[Spread], named: Named, otherwise: str = "") -> str:
    """A body for each interval; `firing` are the tables whose triggers call the function, and
    `otherwise` is what it does for any other, the same as before if that is empty."""
    pragmas, rest = bodies.without_pragmas(body)
    intervals = list(zip(*(table.ids for table in firing), strict=True))
    texts = [on_shards(rest, place, named) for place in range(len(intervals))]
    if all(text == rest for text in texts):
        return body
    cases = [
        f"WHEN {_listed(ids)} THEN\n{bodies.as_block(text)}"
        for ids, text in zip(intervals, texts, strict=True)
    ]
    last = otherwise or bodies.as_block(rest)
    chosen = "\n".join([f"CASE {_SHARD}", *cases, "ELSE", last, "END CASE;"])
    return f"{pragmas}BEGIN\n{chosen}\nEND\n"


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(f"'{number}'" for number in ids)
