"""What a database held before it was filled: rows of its dump, beside which those of the fill go.

It is remembered from the first run on, so that a fill that goes on makes the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from harness.catalog.model import Catalog, Name, Table
from harness.db import Connection
from harness.deploy import target as targets

Taken = Mapping[Name, int]
"""Tables that had rows, with the greatest value of an integer key; 0 where there is none."""

_INTEGERS = ("bigint", "integer", "smallint")
_CREATE = """
CREATE TABLE harness.fill_taken (
    table_schema text   NOT NULL,
    table_name   text   NOT NULL,
    greatest_key bigint NOT NULL,
    PRIMARY KEY (table_schema, table_name)
)
"""
_HELD = """
SELECT DISTINCT n.nspname, top.relname
FROM pg_class AS c
JOIN pg_class AS top ON top.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_namespace AS n ON n.oid = top.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ANY (%s) AND pg_relation_size(c.oid) > 0
ORDER BY 1, 2
"""


def read(connection: Connection, catalog: Catalog) -> Taken:
    """What was there before the first run; the harness's own schema has to exist."""
    if not _is_remembered(connection):
        _remember(connection, catalog)
    return known(connection, catalog)


def known(connection: Connection, catalog: Catalog) -> Taken:
    """What was there before the first run, or where there was none, now; nothing is written."""
    if not _is_remembered(connection):
        return survey(connection, catalog)
    rows = connection.execute("SELECT * FROM harness.fill_taken").fetchall()
    return {Name(schema, name): greatest for schema, name, greatest in rows}


def survey(connection: Connection, catalog: Catalog) -> Taken:
    """Tables that hold rows now."""
    held = connection.execute(_HELD, [list(catalog.schemas)]).fetchall()
    tables = [catalog.tables[Name(*row)] for row in held if Name(*row) in catalog.tables]
    greatest = {table.name: _greatest_key(connection, table) for table in tables}
    return {name: number for name, number in greatest.items() if number is not None}


def _is_remembered(connection: Connection) -> bool:
    return targets.keeps(connection, "fill_taken")


def _remember(connection: Connection, catalog: Catalog) -> None:
    found = survey(connection, catalog)
    with connection.transaction():
        connection.execute(_CREATE)
        for name, greatest in found.items():
            connection.execute(
                "INSERT INTO harness.fill_taken VALUES (%s, %s, %s)", (*name, greatest)
            )


def _greatest_key(connection: Connection, table: Table) -> int | None:
    """None where all rows that were there have gone."""
    keys = table.primary_key.columns if table.primary_key else ()
    numbers = [key for key in keys if table.columns[key].type in _INTEGERS]
    if not numbers:
        some = connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(table.name.identifier))
        return 0 if some.rowcount else None
    greatest = sql.SQL("SELECT greatest({}) FROM {}").format(
        sql.SQL(", ").join(sql.SQL("max({})").format(sql.Identifier(n)) for n in numbers),
        table.name.identifier,
    )
    row = connection.execute(greatest).fetchone()
    return None if row is None or row[0] is None else max(int(row[0]), 0)
