"""The ground that probes stand on: a live database, two of its tenants, and the connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import sql

from checks.attempt import Session, Subject, first
from harness.catalog import shards
from harness.catalog.model import Catalog, Name, Table
from harness.config import Settings, Tenancy
from harness.db import Connection, Target
from harness.deploy import nodes
from harness.errors import UsageError

_HIDDEN = "SELECT row_security_active(%s::regclass)"
_CANDIDATES = 200
"""Tenants of which two may be in one shard."""
_LIMITS = (
    "SET lock_timeout = '500ms'",
    "SET statement_timeout = '15s'",
    "SET idle_in_transaction_session_timeout = '5min'",
)


Place = tuple[Connection, Subject]


class Nodes(Protocol):
    """The nodes of a cluster, where the rows of the tenant lie that is attacked."""

    def place(self, subject: Subject) -> Place:
        """Where a table is attacked."""

    def query(self, text: str) -> tuple[Connection, str]:
        """Where a query is of plain tables, and what it is there."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A database under attack."""

    database: Target
    settings: Settings
    admin: Connection
    app: Connection
    catalog: Catalog
    own: Any
    """The tenant that attacks."""
    other: Any
    """The tenant that is attacked."""
    ours: bool
    """Whether the harness made the database; in anybody else's, nothing is done that a rollback
    does not undo."""
    nodes: Nodes | None = None
    """On a cluster: where what needs the admin's help is attacked."""

    @property
    def name(self) -> str:
        """The database's name, which stands for what is not about one object of it."""
        return self.admin.info.dbname

    @property
    def wire(self) -> Session:
        """The application's own connection."""
        return Session(self.app, self.settings.tenancy)

    def place_of(self, subject: Subject) -> Place:
        """The admin's connection to where a table is attacked, and the table as it is there."""
        return self.nodes.place(subject) if self.nodes else (self.admin, subject)

    @property
    def home(self) -> Connection:
        """The admin's connection to the server that holds the rows of the tenants."""
        subject = next(self.subjects(), None)
        return self.place_of(subject)[0] if subject else self.admin

    def subjects(self) -> Iterator[Subject]:
        """The tables that tenants share and that hold the tenant."""
        for table in self.tables():
            column = tenant_column(table, self.settings.tenancy)
            if column is not None:
                yield Subject(table, column, self.own, self.other)

    def tables(self) -> Iterator[Table]:
        """The tables that tenants share; partitions are attacked through their parents."""
        return attacked_tables(self.catalog, self.settings.tenancy)


def attacked_tables(catalog: Catalog, tenancy: Tenancy) -> Iterator[Table]:
    """The tables that must keep tenants apart, partitions aside."""
    for table in catalog.tables.values():
        if table.partition_of is None and not tenancy.shares(table.name):
            yield table


def tenant_column(table: Table, tenancy: Tenancy) -> str | None:
    """The column that tells whose a row is: of the root table its key, where tenants are called
    otherwise there."""
    if tenancy.column in table.columns:
        return tenancy.column
    key = table.primary_key
    if table.name == Name.parse(tenancy.root_table) and key and len(key.columns) == 1:
        return key.columns[0]
    return None


def limit(connection: Connection) -> None:
    """No statement waits long for a lock or works for long."""
    for statement in _LIMITS:
        connection.execute(statement.encode())


def two_tenants(admin: Connection, catalog: Catalog, tenancy: Tenancy) -> tuple[Any, Any]:
    """The two first tenants of the root table, or of all tables where there is no such table.

    Raises UsageError where there are not two.
    """
    root = catalog.tables.get(Name.parse(tenancy.root_table))
    tables = [root] if root is not None else list(attacked_tables(catalog, tenancy))
    found: dict[Any, None] = {}
    for table in tables:
        column = tenant_column(table, tenancy)
        if column is not None and len(found) < 2:
            found |= dict.fromkeys(_tenants(admin, table, column))
    if len(found) < 2:
        if tables and first(admin, _HIDDEN, [tables[0].name.identifier.as_string(None)]):
            raise UsageError(
                f"{admin.info.user} sees {len(found)} tenants, for row security holds for it too:"
                " connect as a superuser or as an owner with BYPASSRLS"
            )
        where = tenancy.root_table if root is not None else "the database"
        raise UsageError(
            f"{where} holds {len(found)} tenants and probes need two: run harness fill"
        )
    own, other, *_ = found
    return own, other


def _tenants(admin: Connection, table: Table, column: str) -> list[Any]:
    """Two tenants of a table; on a cluster two that are in the same shard of it, if there are."""
    on_cluster = nodes.is_cluster(admin)
    query = sql.SQL(
        "SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY 1 LIMIT {most}"
    ).format(
        column=sql.Identifier(column),
        table=table.name.identifier,
        most=sql.Literal(_CANDIDATES if on_cluster else 2),
    )
    found = [value for (value,) in admin.execute(query).fetchall()]
    return shards.together(admin, table.name, found) if on_cluster else found
