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
from collections.abc import Iterator
from datetime import datetime

from pglast import Error, ast, parse_sql
from psycopg import sql

from harness.catalog.model import Catalog, Name, Table
from harness.db import Connection

_CLOCK = """
CREATE OR REPLACE FUNCTION harness.now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('harness.moment')::timestamptz;
CREATE OR REPLACE FUNCTION harness.clock_timestamp() RETURNS timestamptz
    LANGUAGE sql VOLATILE
    RETURN current_setting('harness.moment')::timestamptz + interval '1 microsecond'
           * set_config('harness.ticks', (current_setting('harness.ticks')::bigint + 1)::text,
                        true)::bigint;
"""
_BEFORE_OTHERS = "SET search_path = harness, pg_catalog, public"
_RESTART = """
SELECT set_config('harness.moment', {moment}, true), set_config('harness.key_seed', {seed}, true),
       set_config('harness.keys', '0', true), set_config('harness.ticks', '0', true)
"""
_NOW = re.compile(r"(now|clock_timestamp|statement_timestamp|transaction_timestamp)\(\)")


def prepare(connection: Connection) -> None:
    """Makes the clock in the schema harness; before others work on the database."""
    connection.execute(_CLOCK)


def follow(connection: Connection) -> None:
    """Lets a session of the fill go by that clock."""
    connection.execute(_BEFORE_OTHERS)


def restart(
    connection: Connection, as_of: datetime, seed: int, tenant: uuid.UUID, unit: str
) -> None:
    """Sets the clock of the transaction to the moment, and keys to the first of the unit."""
    statement = sql.SQL(_RESTART).format(
        moment=sql.Literal(as_of.isoformat()), seed=sql.Literal(f"{seed} {tenant} {unit}")
    )
    connection.execute(statement)


def dated(statements: str, catalog: Catalog, as_of: datetime) -> str:
    """Statements whose INSERTs give as_of to columns that would take the server's clock."""
    try:
        additions = sorted(_additions(statements, catalog, as_of), reverse=True)
    except Error:
        return statements  # the server says better what is wrong with them
    for place, text in additions:
        statements = statements[:place] + text + statements[place:]
    return statements


def _additions(statements: str, catalog: Catalog, as_of: datetime) -> Iterator[tuple[int, str]]:
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
        value = f"{sql.Literal(as_of.isoformat()).as_string(None)}::timestamptz, " * len(missing)
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
