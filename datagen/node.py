"""Where a tenant's statements run: on the server, or on the node of a cluster that holds its rows.

Through the coordinator each statement is planned as a distributed query, and most of those that
settle a tenant's rows cannot be: they join a temporary table, write what a volatile function says,
or call one that reads tables. But all rows of a tenant lie on one node. So its statements are sent
there in one call, which Citus delegates in the same transaction, and name the shards themselves:
to that node they are plain statements of its own tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple, Protocol, cast

from pglast import Error, ast, parser
from pglast.visitors import Visitor
from psycopg import sql

from harness.catalog import shards
from harness.catalog.model import Name
from harness.catalog.parsing import parse_sql
from harness.config import Tenancy
from harness.db import Connection

_CREATE: Mapping[str, LiteralString] = {
    "harness.run_at": """
CREATE FUNCTION harness.run_at(tenant {type}, statements text[]) RETURNS void
    LANGUAGE plpgsql
    SET citus.enable_manual_changes_to_shards = on
    SET citus.allow_nested_distributed_execution = on AS $$
DECLARE
    statement text;
BEGIN
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE statement;
    END LOOP;
END
$$""",
    "harness.told_at": """
CREATE FUNCTION harness.told_at(tenant {type}, query text) RETURNS SETOF text[]
    LANGUAGE plpgsql
    SET citus.allow_nested_distributed_execution = on AS $$
BEGIN
    RETURN QUERY EXECUTE query;
END
$$""",
}
_RUN = "SELECT harness.run_at({}, {}::text[])"
_TOLD = "SELECT * FROM harness.told_at({}, {})"
_NAME = re.compile(r'("[^"]+"|[a-zA-Z_]\w*)\s*\.\s*("[^"]+"|[a-zA-Z_]\w*)')
_NAME_IN_TEXT = re.compile(rf'(?<![\w."]){_NAME.pattern}(?![\w"(]|\s*\.)')
_FUNCTIONS = {"harness.run_at": "text[]", "harness.told_at": "text"}
_DELEGATE = """
SELECT create_distributed_function(%s, 'tenant', colocate_with => (
    SELECT logicalrelid::regclass::text FROM pg_dist_partition
    WHERE partmethod = 'h' ORDER BY logicalrelid::oid LIMIT 1), force_delegation => true)
"""
_ARE_THERE = "SELECT to_regproc('harness.run_at') IS NOT NULL"
_TAKES_ALIAS = (
    ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt,
    ast.CreateTableAsStmt,
)  # fmt: skip


class Node(Protocol):
    """Where a tenant's statements run."""

    @property
    def connection(self) -> Connection:
        """The connection whose transaction they are a part of."""

    def run(self, text: str) -> None:
        """Runs statements, in the transaction that was begun."""

    def told(self, query: str) -> list[list[str]]:
        """What a query says whose one column is an array of texts."""

    def table(self, schema: str, name: str) -> Name:
        """The table that is called so there."""


@dataclass(frozen=True, slots=True)
class Server:
    """The one server that there is."""

    connection: Connection

    def run(self, text: str) -> None:
        self.connection.execute(text.encode())

    def told(self, query: str) -> list[list[str]]:
        return [row for (row,) in self.connection.execute(query.encode())]

    def table(self, schema: str, name: str) -> Name:
        return Name(schema, name)


_VIEWS = """
SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
"""


@dataclass(frozen=True, slots=True)
class Delegate:
    """The node of a cluster that holds a tenant, reached through the coordinator."""

    connection: Connection
    tenant: Any
    shards: Mapping[Name, Name]
    """Shards of the tenant by their tables, and the copies of tables that all share."""
    views: Mapping[Name, str]
    """Queries of views, which are of tables."""

    def run(self, text: str) -> None:
        pieces = cast("Sequence[str]", parser.split(text))
        self._call(_RUN, [on_shards(piece, self.shards, self.views) for piece in pieces])

    def told(self, query: str) -> list[list[str]]:
        return self._call(_TOLD, on_shards(query, self.shards, self.views))

    def table(self, schema: str, name: str) -> Name:
        tables = {shard: table for table, shard in self.shards.items()}
        return tables.get(Name(schema, name), Name(schema, name))

    def _call(self, query: LiteralString, what: Any) -> list[Any]:
        """The values have to stand in the call: by parameters Citus cannot tell where it goes."""
        call = sql.SQL(query).format(sql.Literal(self.tenant), sql.Literal(what))
        return [value for (value,) in self.connection.execute(call)]


def prepare(connection: Connection, tenancy: Tenancy) -> None:
    """Makes what Delegate calls on every node of a cluster; before others work on the database."""
    if any(there for (there,) in connection.execute(_ARE_THERE)):
        return
    kind = sql.SQL(tenancy.type)
    for function, argument in _FUNCTIONS.items():
        connection.execute(sql.SQL(_CREATE[function]).format(type=kind))
        signature = f"{function}({tenancy.type}, {argument})"
        connection.execute(_DELEGATE, [signature])


def delegate(connection: Connection, tenant: Any) -> Delegate:
    """The node that holds a tenant, and what its shards are called."""
    found = shards.of_tenant(connection, tenant)
    views = {Name(schema, name): text for schema, name, text in connection.execute(_VIEWS)}
    return Delegate(connection, tenant, {name: at.name for name, at in found.items()}, views)


def on_shards(
    statement: str, names: Mapping[Name, Name], views: Mapping[Name, str] | None = None
) -> str:
    """A statement that names shards where it named their tables, and has the queries of views in
    place of these.

    Columns are named by the table still. The body of a DO block is a text, in which qualified
    names stand for tables only.
    """
    try:
        tree = parse_sql(statement)[0].stmt
    except Error:
        return statement  # the server will say what is wrong with it
    if isinstance(tree, ast.DoStmt):
        return _NAME_IN_TEXT.sub(lambda found: _in_text(found, names), statement)
    aliased = isinstance(tree, _TAKES_ALIAS)
    for place, name in sorted(_Tables(tree).found.items(), reverse=True):
        there = _there(name.table, names, views or {})
        if there is not None:
            alias = f" AS {_quoted(name.table.name)}" if aliased and not name.has_alias else ""
            rest = statement[place + _written_at(statement, place) :]
            statement = f"{statement[:place]}{there}{alias}{rest}"
    return statement


def _there(table: Name, names: Mapping[Name, Name], views: Mapping[Name, str]) -> str | None:
    """What stands for a table or a view on the node."""
    if shard := names.get(table):
        return f"{_quoted(shard.schema)}.{_quoted(shard.name)}"
    if query := views.get(table):
        return f"({on_shards(query.rstrip('; '), names, views)})"
    return None


class _Tables(Visitor):
    """The tables that a statement names, by the place where it does."""

    def __init__(self, tree: Any) -> None:
        self.found: dict[int, _Named] = {}
        self(tree)

    def visit_RangeVar(self, _: Any, node: Any) -> None:
        if node.schemaname:
            name = Name(node.schemaname, node.relname)
            self.found[node.location] = _Named(name, node.alias is not None)


class _Named(NamedTuple):
    table: Name
    has_alias: bool


def _written_at(statement: str, place: int) -> int:
    """How long a qualified name is as it stands there."""
    found = _NAME.match(statement, place)
    return len(found[0]) if found else 0


def _in_text(found: re.Match[str], names: Mapping[Name, Name]) -> str:
    shard = names.get(Name(*(part.strip('"') for part in found.groups())))
    return f"{_quoted(shard.schema)}.{_quoted(shard.name)}" if shard else found[0]


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
