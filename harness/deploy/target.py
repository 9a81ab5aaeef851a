"""What the harness remembers in a database: that it is a target, and which files it holds.

The tables stand in the schema `harness`, which belongs to whoever deployed and which no
application role can see. A database with that schema is a harness target: it may be filled,
mutated and dropped. Any other database is somebody's, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from psycopg import sql

from harness import __version__
from harness.db import Connection
from harness.deploy.source import SourceFile
from harness.errors import RefusedError

State = Literal["empty", "unfinished", "target", "foreign"]

_CREATE = """
CREATE SCHEMA IF NOT EXISTS harness;
CREATE TABLE IF NOT EXISTS harness.deployed_file (
    path            text        PRIMARY KEY,
    position        integer     NOT NULL,
    checksum        text        NOT NULL,
    harness_version text        NOT NULL,
    deployed_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON SCHEMA harness IS 'Marks this database as a harness target: it may be dropped.';
"""

# From the catalog, which every role may read.
_MARKS = """
SELECT ARRAY(SELECT c.relname::text FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = 'harness' AND c.relname IN ('deployed_file', 'deploying'))
"""

# Anything that a user made: a schema, or an object in public, that no extension brought.
_HOLDS_SOMETHING = """
SELECT EXISTS (SELECT FROM pg_namespace AS n
               WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
                 AND NOT EXISTS (SELECT FROM pg_depend AS d
                                 WHERE d.classid = 'pg_namespace'::regclass
                                   AND d.objid = n.oid AND d.deptype = 'e'))
    OR EXISTS (SELECT FROM pg_class AS c
               WHERE c.relnamespace = 'public'::regnamespace
                 AND NOT EXISTS (SELECT FROM pg_depend AS d
                                 WHERE d.objid = c.oid AND d.deptype = 'e'))
    OR EXISTS (SELECT FROM pg_proc AS p
               WHERE p.pronamespace = 'public'::regnamespace
                 AND NOT EXISTS (SELECT FROM pg_depend AS d
                                 WHERE d.objid = p.oid AND d.deptype = 'e'))
"""


def state(connection: Connection) -> State:
    """Whether the database is empty, a harness target, one that a deployment to a cluster left
    before its end, or somebody's."""
    row = connection.execute(_MARKS.encode()).fetchone()
    marks = row[0] if row else []
    if marks:
        return "target" if "deployed_file" in marks else "unfinished"
    return "foreign" if _is_true(connection, _HOLDS_SOMETHING) else "empty"


def keeps(connection: Connection, table: str) -> bool:
    """Whether the schema `harness` has a table of this name; it takes no right to it."""
    query = "SELECT to_regclass(format('harness.%%I', %s::text)) IS NOT NULL"
    return connection.execute(query, [table]).fetchone() == (True,)


def require(connection: Connection, owned: str | None = None) -> None:
    """Raises RefusedError unless the database is a target or `owned` names it.

    `owned` is what the user passed as --i-own-this-database.
    """
    name = connection.info.dbname
    if owned == name:
        return
    found = state(connection)
    if found == "empty":
        raise RefusedError(f"database {name} is empty: run harness deploy first")
    if found == "unfinished":
        raise RefusedError(
            f"database {name} was deployed to in part: run harness deploy --citus again, which "
            "goes on where it stopped"
        )
    if found == "foreign":
        raise RefusedError(
            f"database {name} was not made by the harness and is left alone; deploy into an "
            f"empty one, or pass --i-own-this-database {name}"
        )


def require_all(connection: Connection, files: Sequence[SourceFile]) -> None:
    """RefusedError unless a target holds exactly these files."""
    there = deployed(connection)
    differing = [file.path for file in files if there.get(file.path) != file.checksum]
    require_none(connection, differing + sorted(there.keys() - {file.path for file in files}))


def require_none(connection: Connection, differing: Sequence[str]) -> None:
    """RefusedError where files in the database are others than those to deploy."""
    if differing:
        raise RefusedError(
            f"database {connection.info.dbname} holds another version of the schema "
            f"({_some(differing)} differ); make it anew with `harness deploy --recreate`"
        )


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"


def deployed(connection: Connection) -> dict[str, str]:
    """Checksums by path of the files that the target holds, in load order."""
    rows = connection.execute("SELECT path, checksum FROM harness.deployed_file ORDER BY position")
    return dict(rows.fetchall())


def record(connection: Connection, files: Iterable[SourceFile], loader: str) -> None:
    """Marks the database as a target that holds these files; the loader keeps its ledger
    beside them."""
    connection.execute(_CREATE)
    connection.execute(
        sql.SQL("GRANT USAGE, CREATE ON SCHEMA harness TO {}").format(sql.Identifier(loader))
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO harness.deployed_file (path, position, checksum, harness_version)"
            " VALUES (%s, %s, %s, %s)",
            [(f.path, position, f.checksum, __version__) for position, f in enumerate(files)],
        )


def _is_true(connection: Connection, query: str) -> bool:
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])
