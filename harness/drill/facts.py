"""What a database holds that has to survive, as values to compare.

Each facts/<kind>.sql selects a name, what is to be known of it, and expressions, which PostgreSQL
may spell anew when they are restored. Rows are counted, chains of hashes verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import LiteralString

from psycopg import sql

from harness.catalog.model import Name
from harness.config import Tenancy
from harness.db import Connection

Value = tuple[str, ...]
"""What is known of a thing, and behind it its expressions."""
Kind = Mapping[str, Value]

_COUNTED: LiteralString = """
SELECT n.nspname, c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2
"""
_MATERIALIZED: LiteralString = """
SELECT n.nspname, c.relname, c.relispopulated
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm'
ORDER BY 1, 2
"""
_VERIFYING: LiteralString = """
SELECT n.nspname, p.proname
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prokind = 'f' AND p.proretset AND p.pronargs = p.pronargdefaults
  AND p.proname ~ '^verify_(.*_)?chain$'
ORDER BY 1, 2
"""
INTACT = "intact"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was read of one database, in one snapshot."""

    kinds: Mapping[str, Kind]

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(int(count) for (count,) in self.kinds["rows"].values())

    @property
    def broken_chains(self) -> Iterator[tuple[str, str]]:
        """Chains that do not verify, each with what is wrong."""
        for name, (told,) in self.kinds["hash chains"].items():
            if told != INTACT:
                yield name, told


def read(connection: Connection, tenancy: Tenancy) -> Facts:
    """All facts, in the transaction that the connection is in.

    It has to be one that sees one snapshot, as a role that row security does not bind.
    """
    connection.execute("SET LOCAL search_path = ''")  # names are printed with their schemas
    kinds = {"rows": counted(connection)}
    for path in sorted(files("harness.drill").joinpath("facts").iterdir(), key=lambda p: p.name):
        kinds[path.name.removesuffix(".sql").replace("_", " ")] = _kind(
            connection, path.read_text(encoding="utf-8")
        )
    kinds["materialized views"] = dict(_materialized(connection))
    connection.execute("SET LOCAL search_path TO DEFAULT")
    kinds["hash chains"] = dict(_chains(connection, tenancy))
    return Facts(kinds)


def counted(connection: Connection) -> Kind:
    """Rows of every table, those of its partitions among them.

    Unlogged ones are left out: a backup has nothing of them, as documented.
    """
    names = [Name(*row) for row in connection.execute(_COUNTED)]
    return {str(name): (str(_count(connection, name)),) for name in names}


def _count(connection: Connection, name: Name) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name.identifier)).fetchone()
    return int(row[0]) if row else 0


def _materialized(connection: Connection) -> Iterator[tuple[str, Value]]:
    """Whether each holds anything. A restored one is computed anew, by its owner: it may have more
    or fewer rows, but it stays empty where row security binds the owner."""
    for schema, name, is_populated in connection.execute(_MATERIALIZED).fetchall():
        view, told = Name(schema, name), "not populated"
        if is_populated:
            query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(view.identifier)
            told = "with rows" if connection.execute(query).fetchone() == (True,) else "empty"
        yield str(view), (told,)


def _kind(connection: Connection, query: str) -> Kind:
    rows = connection.execute(query.encode()).fetchall()
    return {str(name): tuple(value or "" for value in values) for name, *values in rows}


def _chains(connection: Connection, tenancy: Tenancy) -> Iterator[tuple[str, Value]]:
    """What each function that verifies a chain of hashes says of each tenant's."""
    verifying = [Name(*row) for row in connection.execute(_VERIFYING)]
    for tenant in tenants(connection, tenancy) if verifying else ():
        for function in verifying:
            with connection.transaction(force_rollback=True):
                connection.execute(tenancy.set_tenant.encode(), [tenant])
                yield f"{function}() of {tenant}", (_verified(connection, function),)


def _verified(connection: Connection, function: Name) -> str:
    query = sql.SQL("SELECT count(*), min(f::text) FROM {}() AS f").format(function.identifier)
    row = connection.execute(query).fetchone()
    broken, first = row or (0, "")
    return f"{broken} links are broken, as {first}" if broken else INTACT


def tenants(connection: Connection, tenancy: Tenancy) -> list[str]:
    """The tenants of the root table; none where there is no such table or it lacks the column."""
    root = Name.parse(tenancy.root_table)
    there = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
        [root.identifier.as_string(connection), tenancy.column],
    ).fetchone()
    if there is None:
        return []
    query = sql.SQL("SELECT {}::text FROM {} ORDER BY 1").format(
        sql.Identifier(tenancy.column), root.identifier
    )
    return [tenant for (tenant,) in connection.execute(query)]
