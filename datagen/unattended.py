"""Keeps autovacuum from tables while statements fill them, and lets it come back.

As soon as the first tenant's rows are there, autovacuum analyzes a table, and to a plan that is
made from then on the next tenant has one row: a loop over all its rows costs nothing there, and any
index is as good as the right one. What it is kept from is noted in harness.unattended in the
transaction in which that is done: whatever ends a fill, the next one lets it come back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from harness.catalog.model import Name
from harness.db import Connection, Target, connect
from harness.deploy import nodes
from harness.deploy import target as targets
from harness.errors import HarnessError

TOGETHER = 50
"""Tables of one transaction, which holds a lock for each."""

_NOTES = """
CREATE TABLE IF NOT EXISTS harness.unattended (
    schema_name text        NOT NULL,
    table_name  text        NOT NULL,
    since       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema_name, table_name)
);
COMMENT ON TABLE harness.unattended IS
    'What harness fill keeps autovacuum from while statements fill it.';
"""
_NOTE = "INSERT INTO harness.unattended (schema_name, table_name) VALUES (%s, %s)"
_FORGET = "DELETE FROM harness.unattended WHERE schema_name = %s AND table_name = %s"
_NOTED = "SELECT schema_name, table_name FROM harness.unattended ORDER BY 1, 2"
# Autovacuum comes to partitions, not to what they are parts of. A setting of its own stays.
_ATTENDED = """
    SELECT n.nspname::text, c.relname::text
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND coalesce(pg_partition_root(c.oid), c.oid) = ANY (%s::regclass[])
      AND NOT EXISTS (SELECT FROM unnest(c.reloptions) AS o (o) WHERE o ^@ 'autovacuum_enabled=')
    ORDER BY 1, 2"""
_LEAVE = sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = false)")
_RETURN = sql.SQL("ALTER TABLE IF EXISTS {} RESET (autovacuum_enabled)")


@contextmanager
def unattended(database: Target, tables: Collection[Name]) -> Iterator[None]:
    """Within the block autovacuum leaves the tables alone, where `harness deploy` made them on one
    server: settings of somebody's tables stay as they are."""
    if not tables:
        yield
        return
    try:
        leave(database, tables)
        yield
    except BaseException:
        with suppress(HarnessError, psycopg.Error):  # the next fill does it
            attend(database)
        raise
    attend(database)


def leave(database: Target, tables: Collection[Name]) -> None:
    """Has autovacuum leave the tables alone from now on."""
    with connect(database.admin, autocommit=True) as connection:
        if targets.state(connection) != "target" or nodes.is_cluster(connection):
            return
        connection.execute(_NOTES)
        names = [name.identifier.as_string(connection) for name in tables]
        found = connection.execute(_ATTENDED.encode(), [names]).fetchall()
        _change(connection, [Name(*row) for row in found], _LEAVE, _NOTE)


def heal(database: Target, connection: Connection) -> None:
    """Lets autovacuum come back to what a fill that ended early kept it from."""
    if _was_left(connection):
        attend(database)


def attend(database: Target) -> None:
    """Lets autovacuum come back to what it was kept from."""
    with connect(database.admin, autocommit=True) as connection:
        _change(connection, _noted(connection), _RETURN, _FORGET)


def left(connection: Connection) -> str | None:
    """One line on what an interrupted fill left unattended, None where nothing is."""
    noted = _noted(connection)
    if not noted:
        return None
    return (
        f"autovacuum leaves {len(noted)} tables alone since a fill ended early; run harness fill "
        "again, which lets it come back"
    )


def _noted(connection: Connection) -> list[Name]:
    if not _was_left(connection):
        return []
    return [Name(*row) for row in connection.execute(_NOTED.encode()).fetchall()]


def _was_left(connection: Connection) -> bool:
    """Whether autovacuum was ever kept from a table here; it takes no right to the notes."""
    return targets.keeps(connection, "unattended")


def _change(connection: Connection, tables: Sequence[Name], how: sql.SQL, note: str) -> None:
    """Alters tables and what is noted of them, some at a time."""
    for first in range(0, len(tables), TOGETHER):
        some = tables[first : first + TOGETHER]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(sql.SQL(";").join(how.format(name.identifier) for name in some))
            cursor.executemany(note.encode(), some)
