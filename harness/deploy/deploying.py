"""What is noted while a cluster is deployed to: how far each file came, in harness.deploying.

The table comes with the first file and goes with the last, when the database becomes a target.
Where it is, a deployment was interrupted: it may go on, and nothing else may begin. What was
deployed of a file is told by its text, so that the rest of it may be mended in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from harness.db import Connection
from harness.deploy import nodes, target
from harness.deploy.script import Statement, statements
from harness.deploy.source import SourceFile
from harness.errors import RefusedError

_CREATE = """
CREATE TABLE IF NOT EXISTS harness.deploying (
    path        text        PRIMARY KEY,
    checksum    text        NOT NULL,
    statements  integer     NOT NULL,
    left_out    text[]      NOT NULL,
    deployed_at timestamptz NOT NULL DEFAULT now()
)
"""
_NOTE = """
INSERT INTO harness.deploying AS d (path, checksum, statements, left_out)
VALUES (%s, %s, %s, %s)
ON CONFLICT (path) DO UPDATE
SET checksum = excluded.checksum, statements = excluded.statements,
    left_out = d.left_out || excluded.left_out, deployed_at = now()
"""


def require(connection: Connection, files: Sequence[SourceFile]) -> None:
    """RefusedError unless the files may be deployed here, or are there already.

    Nobody may own a database that holds something: its tables would be distributed too.
    """
    state, name = target.state(connection), connection.info.dbname
    if state == "foreign":
        raise RefusedError(
            f"database {name} was not made by the harness and is left alone; name an empty one"
        )
    if state == "target":
        target.require_all(connection, files)
        if not nodes.is_cluster(connection):
            raise RefusedError(f"database {name} was deployed to without --citus: name another one")
    if state == "unfinished":
        there = connection.execute("SELECT path, checksum, statements FROM harness.deploying")
        _require_begun(connection, files, {path: rest for path, *rest in there})


def _require_begun(
    connection: Connection, files: Sequence[SourceFile], there: Mapping[str, Sequence[Any]]
) -> None:
    known = {file.path: file for file in files}
    differing = [
        path
        for path, (checksum, count) in there.items()
        if path not in known or _checksum(statements(known[path])[:count]) != checksum
    ]
    target.require_none(connection, differing)


def _checksum(script: Sequence[Statement]) -> str:
    return hashlib.sha256("\0".join(each.text for each in script).encode()).hexdigest()


def begin(connection: Connection) -> dict[str, int]:
    """Marks the database as one that is being deployed to; the number of statements of each file
    that are there already."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS harness")
    connection.execute(_CREATE.encode())
    return dict(connection.execute("SELECT path, statements FROM harness.deploying").fetchall())


def note(
    connection: Connection, file: SourceFile, there: Sequence[Statement], left_out: Sequence[str]
) -> None:
    """Notes which statements of a file are there, in the transaction that brings the last, and
    what was left out of those that it brings, a line each."""
    connection.execute(_NOTE, [file.path, _checksum(there), len(there), list(left_out)])


def finish(connection: Connection, files: Sequence[SourceFile], loader: str) -> tuple[str, ...]:
    """Makes the database a target; what was left out, in the order of the files, which stays in
    harness.left_out."""
    target.record(connection, files, loader)
    rows = connection.execute("SELECT path, left_out FROM harness.deploying").fetchall()
    left_out: dict[str, list[str]] = dict(rows)
    lines = tuple(line for file in files for line in left_out.get(file.path, ()))
    connection.execute("CREATE TABLE harness.left_out (statement text NOT NULL)")
    connection.execute("INSERT INTO harness.left_out SELECT unnest(%s::text[])", [list(lines)])
    connection.execute("DROP TABLE harness.deploying")
    return lines
