"""What time it is, and which key is next, for the database while it is filled.

Functions and triggers of a schema put in now() and keys of their own. In a session of the fill
they find, before those of pg_catalog, functions in the schema harness that tell the moment that
the data are of; a column's default, which is bound, is given in the statement instead. Keys that
a schema makes with `harness.key_seed` in mind follow from it and a count that starts anew with
every unit, so that they are the same whenever and by whomever the unit is done.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from pglast import Error, ast
from psycopg import sql

from datagen.node import Node
from harness.catalog.model import Catalog, Name, Table
from harness.catalog.parsing import parse_sql
from harness.db import Connection, is_lost

_CLOCK: Sequence[LiteralString] = (
    """
CREATE FUNCTION harness.now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('harness.moment')::timestamptz
""",
    """
CREATE FUNCTION harness.clock_timestamp() RETURNS timestamptz
    LANGUAGE sql VOLATILE
    RETURN current_setting('harness.moment')::timestamptz + interval '1 microsecond'
           * set_config('harness.ticks', (current_setting('harness.ticks')::bigint + 1)::text,
                        true)::bigint
""",
)
_HAS_CLOCK = "SELECT to_regprocedure('harness.clock_timestamp()') IS NOT NULL"
_FOLLOW = """
SELECT set_config('search_path', 'harness, pg_catalog, ' || current_setting('search_path'), false),
       set_config('harness.moment', {moment}, false), set_config('harness.ticks', '0', false)
"""
# Citus sends SET LOCAL on to the nodes, and nothing that functions of PostgreSQL set. Each counts
# its keys for itself: the coordinator, which gives columns their defaults, from a seed of its own.
_RESTARTING = """
CREATE OR REPLACE FUNCTION harness.restart(path text, moment text, seed text) RETURNS void
    LANGUAGE plpgsql
    SET citus.propagate_set_commands = 'local' AS $$
BEGIN
    EXECUTE 'SET LOCAL search_path = ' || path;
    EXECUTE format('SET LOCAL harness.moment = %L', moment);
    EXECUTE format('SET LOCAL harness.key_seed = %L', seed);
    SET LOCAL harness.keys = '0';
    SET LOCAL harness.ticks = '0';
    SET LOCAL timezone = 'UTC';
    SET LOCAL citus.multi_shard_modify_mode = 'sequential';
    PERFORM set_config('harness.key_seed', seed || ' coordinator', true);
END
$$
"""
_RESTART_NODES = "SELECT harness.restart(current_setting('search_path'), {moment}, {seed})"
_RESTART = """
SELECT set_config('harness.moment', {moment}, true), set_config('harness.key_seed', {seed}, true),
       set_config('harness.keys', '0', true), set_config('harness.ticks', '0', true)
"""
# By the locks, for there are few of them and many tables.
_WRITTEN = """
SELECT DISTINCT ARRAY[n.nspname, r.relname]::text[]
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation AND c.relkind = 'r'
JOIN pg_class AS r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
  AND pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) > 0
ORDER BY 1
"""
_DATE = "UPDATE {table} SET {settings} WHERE {tenant} AND ({any})"
_NOW = re.compile(r"(pg_catalog\.)?(now|(clock|statement|transaction)_timestamp)\(\)")


def prepare(connection: Connection) -> None:
    """Makes the clock in the schema harness; before others work on the database."""
    if not any(there for (there,) in connection.execute(_HAS_CLOCK)):
        for statement in _CLOCK:
            connection.execute(statement)


def prepare_nodes(connection: Connection) -> None:
    """Makes what sets the clock on the nodes of a cluster."""
    connection.execute(_RESTARTING)


def follow(connection: Connection, as_of: datetime) -> None:
    """Lets a session of the fill go by that clock."""
    statement = sql.SQL(_FOLLOW).format(moment=sql.Literal(as_of.isoformat()))
    connection.execute(statement)


def restart(
    connection: Connection, as_of: datetime, seed: int, tenant: uuid.UUID, unit: str
) -> None:
    """Sets the clock of the transaction to the moment, and keys to the first of the unit."""
    _restart(connection, _RESTART, as_of, f"{seed} {tenant} {unit}")


def restart_nodes(
    connection: Connection, as_of: datetime, seed: int, tenant: uuid.UUID, unit: str
) -> None:
    """The same on all nodes of a cluster that the transaction comes to."""
    _restart(connection, _RESTART_NODES, as_of, f"{seed} {tenant} {unit}")


def _restart(connection: Connection, query: LiteralString, as_of: datetime, seed: str) -> None:
    moment = sql.Literal(as_of.isoformat())
    connection.execute(sql.SQL(query).format(moment=moment, seed=sql.Literal(seed)))


def date_rows(
    node: Node, catalog: Catalog, tenant: Mapping[str, Any], but: Name | None = None
) -> None:
    """Gives the moment to what the transaction wrote for the tenant by the server's clock.

    That is what functions left to a column's default. `tenant` is the tenant's column and value,
    `but` a table that was given all of its times. Rows that may not change keep their times.
    """
    written = [node.table(*row) for row in node.told(_WRITTEN)]
    for name in written:
        table = catalog.tables.get(name)
        if table and name != but and (times := _times(table)):
            _unless_refused(node, _dating(table, times, tenant))


def _unless_refused(node: Node, statement: sql.Composed) -> None:
    try:
        with node.connection.transaction():
            node.run(statement.as_string(node.connection))
    except psycopg.Error as error:
        if is_lost(error) or (error.sqlstate or "").startswith(("53", "57")):
            raise


def _times(table: Table) -> dict[str, sql.Composed]:
    """Columns for moments, and whether the server's clock wrote them in this transaction."""
    return {
        column.name: sql.SQL(
            "{} BETWEEN transaction_timestamp() AND pg_catalog.clock_timestamp()"
            if (column.default or "").endswith("clock_timestamp()")
            else "{} = transaction_timestamp()"
        ).format(sql.Identifier(column.name))
        for column in table.columns.values()
        if column.type == "timestamp with time zone" and not column.generated
    }


def _dating(
    table: Table, times: Mapping[str, sql.Composed], tenant: Mapping[str, Any]
) -> sql.Composed:
    ours: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))
        for column, value in tenant.items()
        if column in table.columns and table.columns[column].type == "uuid"
    ]
    value = sql.SQL("{0} = CASE WHEN {1} THEN harness.now() ELSE {0} END")
    return sql.SQL(_DATE).format(
        table=table.name.identifier,
        settings=sql.SQL(", ").join(
            value.format(sql.Identifier(name), written) for name, written in times.items()
        ),
        tenant=sql.SQL(" AND ").join(ours or [sql.SQL("true")]),
        any=sql.SQL(" OR ").join(times.values()),
    )


def dated(statements: str, catalog: Catalog) -> str:
    """Statements of a recipe whose INSERTs give %(as_of)s to columns that would take the server's
    clock."""
    try:
        additions = sorted(_additions(_parsable(statements), catalog), reverse=True)
    except Error:
        return statements  # the server says better what is wrong with them
    for place, text in additions:
        statements = statements[:place] + text + statements[place:]
    return statements


def _parsable(statements: str) -> str:
    """SQL of the same length: every place in it is one in the statements."""
    for name in ("%(business_id)s", "%(as_of)s", "%(canary)s"):
        statements = statements.replace(name, f"{'':-^{len(name) - 2}}".join("''"))
    return statements.replace("%%", " %")


def _additions(statements: str, catalog: Catalog) -> Iterator[tuple[int, str]]:
    """Where to put what."""
    for raw in parse_sql(statements):
        insert = raw.stmt
        if not isinstance(insert, ast.InsertStmt) or not insert.cols or not insert.selectStmt:
            continue
        table = catalog.tables.get(Name(insert.relation.schemaname or "", insert.relation.relname))
        missing = _of_the_clock(table, {c.name for c in insert.cols}) if table else []
        if not missing or insert.selectStmt.valuesLists:
            continue
        yield insert.cols[0].location, "".join(f"{_quoted(c)}, " for c in missing)
        value = "%(as_of)s::timestamptz, " * len(missing)
        for select in _leaves(insert.selectStmt):
            yield select.targetList[0].location, value


def _leaves(select: ast.SelectStmt) -> Iterator[ast.SelectStmt]:
    if select.larg is None:
        yield select
        return
    yield from _leaves(select.larg)
    yield from _leaves(select.rarg)


def _of_the_clock(table: Table, given: set[str]) -> list[str]:
    return [
        column.name
        for column in table.columns.values()
        if column.name not in given and _NOW.fullmatch(column.default or "")
    ]


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
