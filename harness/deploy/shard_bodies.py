"""Trigger functions that read the rows a statement changed beside tables, as a cluster needs them.

A trigger of a distributed table runs on its shards, and a query that names a distributed table is
planned by Citus, which knows nothing of the changed rows. But what those refer to lies in shards of
the same hashes, on the same node. So such a function gets its body once for each interval of
hashes, with shards where tables were named and with the queries of views in place of these, and
begins by asking on which shard it is. To the node these are plain statements of its own tables.

Shards keep their names when Citus moves them, and a new node gets the functions with the rest. One
that is split gets new names, and the function says that it does not know them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from harness.catalog.model import Name
from harness.db import Connection
from harness.deploy import limits
from harness.deploy.script import Transition

_FUNCTIONS = """
SELECT pn.nspname, p.proname, pg_get_functiondef(p.oid), p.prosrc,
       array_remove(array_agg(DISTINCT names.name::text), NULL),
       array_agg(DISTINCT ARRAY[cn.nspname::text, c.relname::text])
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_namespace AS pn ON pn.oid = p.pronamespace
JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
CROSS JOIN LATERAL (VALUES (t.tgoldtable), (t.tgnewtable)) AS names (name)
WHERE NOT t.tgisinternal AND (t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL)
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
_UNTOUCHED = r"--[^\n]*|/\*.*?\*/"
_TEXT = r"'(?:[^']|'')*'"
_TABLE = (
    r"(?P<before>\b(?:FROM|JOIN|UPDATE|USING|ONLY)\s+|,\s*|\b(?P<into>INTO)\s+)"
    r'(?P<schema>"[^"]+"|[a-z_]\w*)\s*\.\s*(?P<name>"[^"]+"|[a-z_]\w*)(?![\w"%]|\s*\.)'
    r"(?P<alias>\s+AS\b|\s+(?!(?:{}|INNER|LEFT|RIGHT|FULL|CROSS|NATURAL|ON|SET|WHERE|GROUP|ORDER"
    r"|HAVING|WINDOW|LIMIT|OFFSET|FETCH|FOR|UNION|EXCEPT|INTERSECT|RETURNING|SELECT|VALUES"
    r"|DEFAULT|OVERRIDING|LOOP|THEN)\b)[a-z_]\w*)?"
    r"(?P<call>\s*\()?"
).format("JOIN|USING|TABLESAMPLE|INTO")
_PRAGMAS = re.compile(r"\A(?:\s*#\w+[^\n]*\n)*")
_ENDING = re.compile(r"(?:\s|;|--[^\n]*|/\*.*?\*/)*\Z", re.DOTALL)
_SHARD = "substring(TG_TABLE_NAME FROM '[0-9]+$')"
_UNKNOWN = (
    "RAISE EXCEPTION 'shard % was not there when the schema was deployed', TG_TABLE_NAME\n"
    "    USING HINT = 'A trigger of it names shards: make the database anew.';"
)


@dataclass(frozen=True, slots=True)
class Spread:
    """A table as its shards, in the order of their hashes."""

    names: tuple[str, ...]
    ids: tuple[int, ...] = ()
    shared: bool = False
    """Whether the one shard that there is is on every node."""


_NOWHERE = Spread(())


class Cluster(NamedTuple):
    """What tables and views are on the nodes."""

    tables: Mapping[Name, Spread]
    views: Mapping[Name, str]


def name_shards(connection: Connection) -> None:
    """Gives the functions of triggers that need it a body for each interval of hashes; to be done
    once, when all tables are distributed."""
    cluster = _read(connection)
    for schema, name, definition, body, changed, tables in connection.execute(_FUNCTIONS):
        transition = Transition(Name(schema, name), tuple(changed))
        firing = [cluster.tables.get(Name(*table), _NOWHERE) for table in tables]
        divided = all(table.ids and not table.shared for table in firing)
        if divided and cluster.tables.keys() & _read_beside(body, transition, cluster):
            connection.execute(definition.replace(body, by_shard(body, firing, cluster)).encode())


def _read(connection: Connection) -> Cluster:
    tables = {
        Name(schema, table): Spread(tuple(names), tuple(ids), shared)
        for schema, table, shared, ids, names in connection.execute(_SHARDS)
    }
    views = {Name(schema, view): query for schema, view, query in connection.execute(_VIEWS)}
    return Cluster(tables, views)


def _read_beside(body: str, transition: Transition, cluster: Cluster) -> set[Name]:
    """The tables that stand in a statement with the changed rows, those of views too."""
    waiting = {Name.parse(name) for name in limits.read_beside(body, transition)}
    found: set[Name] = set()
    while waiting:
        found |= waiting
        queries = [cluster.views[name] for name in waiting & cluster.views.keys()]
        waiting = {Name.parse(each) for query in queries for each in limits.named(query)} - found
    return found


def by_shard(body: str, firing: Iterable[Spread], cluster: Cluster) -> str:
    """A body for each interval; `firing` are the tables whose triggers call the function."""
    pragmas = _PRAGMAS.match(body)
    end = pragmas.end() if pragmas else 0
    cases = [
        f"WHEN {_listed(ids)} THEN\n{_block(on_shards(body[end:], place, cluster))}"
        for place, ids in enumerate(zip(*(table.ids for table in firing), strict=True))
    ]
    chosen = "\n".join([f"CASE {_SHARD}", *cases, f"ELSE\n{_UNKNOWN}\nEND CASE;"])
    return f"{body[:end]}BEGIN\n{chosen}\nEND\n"


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(f"'{number}'" for number in ids)


def _block(body: str) -> str:
    return _ENDING.sub("\n;", body, count=1)


def on_shards(body: str, place: int, cluster: Cluster) -> str:
    """A text whose statements name the shards of an interval; that of a text to be executed too."""
    dynamic = re.search(r"\bEXECUTE\b", body, re.IGNORECASE)
    left = _UNTOUCHED if dynamic else f"{_UNTOUCHED}|{_TEXT}"
    found = re.compile(f"{left}|{_TABLE}", re.IGNORECASE | re.DOTALL)
    return found.sub(lambda match: _there(match, place, cluster), body)


def _there(found: re.Match[str], place: int, cluster: Cluster) -> str:
    """What stands for a table, a view or whatever else there is."""
    if not found["name"] or (found["call"] and not found["into"]):
        return found[0]
    name = Name(found["schema"].strip('"'), found["name"].strip('"'))
    there = _shard(name, place, cluster)
    if there is None:
        return found[0]
    alias = found["alias"] or sql.SQL(" AS {}").format(sql.Identifier(name.name)).as_string(None)
    return f"{found['before']}{there}{alias}{found['call'] or ''}"


def _shard(name: Name, place: int, cluster: Cluster) -> str | None:
    if spread := cluster.tables.get(name):
        shard = spread.names[0 if spread.shared else place]
        return Name(name.schema, shard).identifier.as_string(None)
    if query := cluster.views.get(name):
        return f"({on_shards(query.rstrip('; '), place, cluster)})"
    return None
