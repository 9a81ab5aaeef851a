"""Copies a frame into a table without rows in the transaction that emptied it: they come frozen.

Whoever is the first to read a row that was merely committed, as the making of an index is, writes
that to its page, and with checksums the page to the log; frozen rows are done. A server with
wal_level = minimal writes no log of them at all. Nobody else may read or write the table
meanwhile, so this is for a process that fills alone.
"""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg import sql

from datagen import loading
from datagen.frame import Frame
from harness.catalog.model import Name
from harness.db import Connection

ENOUGH = 5_000
"""Rows from which on it pays: asking and emptying take a millisecond or two."""

# Keys of other tables, also of tables without rows, and whatever inherits stand against TRUNCATE;
# its triggers would fire though nothing goes. A snapshot of the transaction stands against FREEZE.
_MAY_BE_EMPTIED = """
SELECT c.relkind = 'r' AND NOT c.relhassubclass AND has_table_privilege(c.oid, 'TRUNCATE')
       AND current_setting('transaction_isolation') = 'read committed'
       AND NOT EXISTS (SELECT FROM pg_constraint AS k
                       WHERE k.confrelid = c.oid AND k.conrelid <> c.oid AND k.contype = 'f')
       AND NOT EXISTS (SELECT FROM pg_trigger AS t
                       WHERE t.tgrelid = c.oid AND t.tgtype & 32 > 0)
FROM pg_class AS c
WHERE c.oid = %s::regclass
"""
_LOCK = sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE NOWAIT")
# Not by its rows, of which row security might hide some: a table without a page has none.
_IS_EMPTY = "SELECT pg_relation_size(%s::regclass) = 0"
_EMPTY = sql.SQL("TRUNCATE TABLE ONLY {}")


def load(connection: Connection, frame: Frame) -> None:
    """Copies a frame in, within a transaction: frozen where it has many rows and the table none."""
    loading.load(connection, frame, _emptied(connection, frame.table.name, frame.rows))


def _emptied(connection: Connection, name: Name, rows: int) -> bool:
    """Gives a table without rows a new file, where that may be."""
    if rows < ENOUGH or not _is_empty(connection, name):
        return False
    own_name = name.identifier.as_string(connection)
    if connection.execute(_MAY_BE_EMPTIED.encode(), [own_name]).fetchone() != (True,):
        return False
    if not _is_empty_for_us_alone(connection, name):
        return False
    # In the caller's transaction: no rows are frozen that came in one within it, or after it.
    connection.execute(_EMPTY.format(name.identifier))
    return True


def _is_empty_for_us_alone(connection: Connection, name: Name) -> bool:
    """Whether nobody is at the table, and nobody has put rows there; then nobody else can."""
    with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
        connection.execute(_LOCK.format(name.identifier))
        return _is_empty(connection, name)
    return False


def _is_empty(connection: Connection, name: Name) -> bool:
    own_name = name.identifier.as_string(connection)
    return connection.execute(_IS_EMPTY.encode(), [own_name]).fetchone() == (True,)
