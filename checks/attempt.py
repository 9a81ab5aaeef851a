"""What probes are made of: a subject to attack, a session to attack it from, an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import errors, sql

from harness.catalog.model import Table
from harness.config import Settings, Tenancy
from harness.db import Connection, is_lost, one_line
from harness.run import ProbeVerdict


class Outcome(NamedTuple):
    """`crossed` is None where the attempt ended in an error that decides nothing."""

    crossed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A table and two tenants: `own` is whom the session works for, `other` whom it is not."""

    table: Table
    tenant_column: str
    own: Any
    other: Any

    @property
    def regclass(self) -> str:
        """The table's name as a cast to regclass reads it."""
        return self.table.name.identifier.as_string(None)

    def compose(self, statement: LiteralString) -> sql.Composed:
        """The statement with {table}, {tenant}, {columns} (all that may be inserted, without
        the tenant) and {own} filled in."""
        columns = [
            sql.Identifier(column.name)
            for column in self.table.columns.values()
            if column.generated is None and column.name != self.tenant_column
        ]
        return sql.SQL(statement).format(
            table=self.table.name.identifier,
            tenant=sql.Identifier(self.tenant_column),
            columns=sql.SQL(", ").join([sql.SQL(""), *columns]),
            own=sql.Literal(self.own),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """Transactions of the application role; each is rolled back unless it only reads.

    `nested` sessions run inside an outer transaction, as savepoints.
    """

    connection: Connection
    tenancy: Tenancy
    role: str | None = None
    """The application role, where the connection is the admin's that has taken it."""

    @contextmanager
    def transaction(self, tenant: Any | None, commit: bool = False) -> Iterator[Connection]:
        """A transaction for the tenant, or for none."""
        with self.connection.transaction(force_rollback=not commit):
            if tenant is not None:
                self.work_for(tenant)
            yield self.connection

    def work_for(self, tenant: Any) -> None:
        """From here to the end of the transaction the session works for the tenant."""
        self.connection.execute(self.tenancy.set_tenant.encode(), [tenant])

    @contextmanager
    def as_admin(self) -> Iterator[Connection]:
        """What the application may not do: for the block, in the admin's own role."""
        if self.role is None:
            raise ValueError("the application's own connection is no admin's")
        self.connection.execute("SET LOCAL ROLE NONE")
        yield self.connection
        take_role(self.connection, self.role)


def take_role(connection: Connection, role: str) -> None:
    """From here to the end of the transaction the connection acts as the role."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))


@contextmanager
def as_application(
    admin: Connection, settings: Settings, opened: Table | None = None
) -> Iterator[Session]:
    """A transaction of the application role without triggers, rolled back at the end.

    With a table `opened`, the row security of that table is off in it.
    """
    with admin.transaction(force_rollback=True):
        if opened is not None:
            admin.execute(
                sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(opened.name.identifier)
            )
        if admin.info.parameter_status("is_superuser") == "on":
            admin.execute("SET LOCAL session_replication_role = replica")
        take_role(admin, settings.roles.app)
        yield Session(admin, settings.tenancy, settings.roles.app)


def judge(action: Callable[[], Outcome]) -> Outcome:
    """The outcome of an action, where PostgreSQL's refusal is an outcome too.

    Row security is checked before constraints: an error of a constraint means that row
    security had let the row pass.
    """
    try:
        return action()
    except errors.InsufficientPrivilege as error:
        return Outcome(False, one_line(error))
    except errors.IntegrityError as error:
        return Outcome(True, f"only a constraint stopped it: {one_line(error)}")
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return Outcome(None, one_line(error))


def unless_closed(action: Callable[[], Outcome]) -> Outcome:
    """The outcome of an action without a tenant. One that raises shows nothing: that may be an
    outage, but it is no leak."""
    try:
        return action()
    except (errors.QueryCanceled, errors.LockNotAvailable):
        raise
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return Outcome(False, f"failed closed: {error.diag.message_primary or one_line(error)}")


def verdict_of(outcome: Outcome) -> ProbeVerdict:
    """What an outcome is called where there is no control experiment."""
    if outcome.crossed is None:
        return "error"
    return "leak" if outcome.crossed else "held"


def count_rows(rows: int, doing: str) -> Outcome:
    """Crossed when any row was touched."""
    return Outcome(rows > 0, f"{doing} {rows} rows of another tenant")


def first(connection: Connection, query: Any, values: list[Any] | None = None) -> Any:
    """The first value of the first row of an answer, None where there is none."""
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
