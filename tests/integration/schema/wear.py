"""Histories: what a call reads must not grow with what was written before it."""

from __future__ import annotations

from typing import Any

from harness.db import Connection
from loadtests.plans import buffers


def written(connection: Connection, statement: str, *values: Any) -> None:
    """Writes a history, as whoever bypasses row security brings one."""
    connection.execute("RESET ROLE")
    connection.execute(statement.encode(), list(values))
    connection.execute("SET LOCAL ROLE app_user")


def touched(connection: Connection, statement: str, *values: Any) -> int:
    """Blocks that a call touches as planned for tables too large to be read whole."""
    connection.execute("SET LOCAL enable_seqscan = off")
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode()
    connection.execute(explained, list(values))
    found = connection.execute(explained, list(values)).fetchone()
    assert found
    return buffers(found[0][0]["Plan"])
