"""One fill at a time in a database, kept by advisory locks, which end with their connection."""

from __future__ import annotations

import psycopg

from harness.db import Connection
from harness.errors import RefusedError

_SPACE = 0x66696C6C
"""`fill` in ASCII: the locks of fills."""
_FILL, _WORK = 0, 1
WAIT = "10s"
"""For a fill that was killed: the server notices within a second or two."""


def take(connection: Connection) -> None:
    """Takes the database's turn to be filled; RefusedError where somebody fills it.

    Processes of a fill that was killed may still be at a unit: they are waited for.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [WAIT])
    try:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [_SPACE, _FILL])
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [_SPACE, _WORK])
    except psycopg.errors.LockNotAvailable:
        raise RefusedError(
            f"another fill of database {connection.info.dbname} is underway; wait for its end and "
            "run this one again"
        ) from None
    connection.execute("SELECT pg_advisory_unlock(%s, %s)", [_SPACE, _WORK])
    connection.execute("SET lock_timeout = 0")


def work(connection: Connection) -> None:
    """Notes that a process of a fill works on this connection."""
    connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", [_SPACE, _WORK])
