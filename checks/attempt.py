"""What probes are made of: a subject to attack, a session to attack it from, an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import errors, sql
from psycopg.pq import TransactionStatus

from harness.catalog.model import Table
from harness.config import Settings, Tenancy
from harness.db import Connection, is_lost, one_line
from harness.run import ProbeVerdict

# One row is enough, and of a large table all are too many, even to be rolled back.
_FOREIGN_ROW: LiteralString = (
    "{tenant} = {other} AND ({row_key}) IN"
    " (SELECT {row_key} FROM {table} WHERE {tenant} = {other} LIMIT 1)"
)
_OWN_ROW: LiteralString = (
    "{tenant} = {own} AND ({row_key}) IN"
    " (SELECT {row_key} FROM {table} WHERE {tenant} = {own} ORDER BY {row_key} LIMIT 1)"
)


class Outcome(NamedTuple):
    """`crossed` is None where the attempt ended in an error that decides nothing."""

    crossed: bool | None
    detail: str
    vacuous: bool = False
    """Whether there was nothing to cross to, so that it proves nothing that it was held."""
    never: bool = False
    """Whether nobody can do it, so that it proves enough that it was held."""


@dataclass(frozen=True)
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

    def compose(self, statement: LiteralString, **more: sql.Composable) -> sql.Composed:
        """The statement with {table}, {tenant}, {columns} (a comma and all that may be inserted,
        without the tenant), {changed} (a column that may be), {own_row} and {foreign_row}
        (conditions), {own} and {other} filled in, and what else is given."""
        return sql.SQL(statement).format(**self._parts, **more)

    @property
    def _changeable(self) -> str:
        """The tenant's column, or another where PostgreSQL alone writes that one."""
        columns = self.table.columns
        candidates = (self.tenant_column, *columns)
        written = (c for c in candidates if columns[c].identity != "always")
        return next((c for c in written if columns[c].generated is None), self.tenant_column)

    @cached_property
    def _parts(self) -> Mapping[str, sql.Composable]:
        """Rendered once, for a table's statements are many."""
        columns = [
            sql.Identifier(column.name)
            for column in self.table.columns.values()
            if column.generated is None and column.name != self.tenant_column
        ]
        key = self.table.primary_key.columns if self.table.primary_key else ("ctid",)
        parts: dict[str, sql.Composable] = {
            "table": self.table.name.identifier,
            "tenant": sql.Identifier(self.tenant_column),
            "changed": sql.Identifier(self._changeable),
            "columns": sql.SQL(", ").join([sql.SQL(""), *columns]),
            "row_key": sql.SQL(", ").join(map(sql.Identifier, key)),
            "own": sql.Literal(self.own),
            "other": sql.Literal(self.other),
        }
        parts["own_row"] = sql.SQL(_OWN_ROW).format(**parts)
        parts["foreign_row"] = sql.SQL(_FOREIGN_ROW).format(**parts)
        return {name: sql.SQL(part.as_string(None)) for name, part in parts.items()}


class _Bounds(NamedTuple):
    """What begins a transaction, undoes it and makes it last."""

    begin: tuple[LiteralString, ...]
    undo: LiteralString
    keep: LiteralString


_WHOLE = _Bounds(("BEGIN",), "ROLLBACK", "COMMIT")
_NESTED = _Bounds(
    ("SAVEPOINT nested",),
    "ROLLBACK TO SAVEPOINT nested; RELEASE SAVEPOINT nested",
    "RELEASE SAVEPOINT nested",
)
_STANDING = _Bounds((), "ROLLBACK TO SAVEPOINT standing", "")


@dataclass(frozen=True, slots=True)
class Session:
    """Transactions of the application role; each is rolled back unless it only reads. Inside an
    outer transaction they are savepoints."""

    connection: Connection
    tenancy: Tenancy
    role: str | None = None
    """The application role, where the connection is the admin's that has taken it."""
    standing: Any | None = None
    """The tenant that the outer transaction works for already."""

    def figures(self, tenant: Any | None, *statements: sql.Composable) -> list[int]:
        """What statements come to in a transaction of the tenant, or of none, that is rolled
        back: the number that a query selects, the rows that a command touches.

        They are sent in one message, for there are thousands of them.
        """
        bounds = self._bounds(tenant)
        return self._send(tenant, bounds, statements, bounds.undo)

    def leave(self, tenant: Any, statement: sql.Composable) -> None:
        """A transaction that is committed; it must only read."""
        bounds = self._bounds(tenant)
        self._send(tenant, bounds, (statement,), bounds.keep)

    @contextmanager
    def transaction(self, tenant: Any | None) -> Iterator[Connection]:
        """A transaction for the tenant, or for none, that is rolled back."""
        bounds = self._bounds(tenant)
        self._execute([*map(sql.SQL, bounds.begin), *self._naming(tenant, bounds)])
        try:
            yield self.connection
        finally:
            if not self.connection.broken:
                self.connection.execute(bounds.undo)

    @contextmanager
    def working_for(self, tenant: Any, limits: LiteralString = "") -> Iterator[Session]:
        """A session in which a transaction of the tenant is no more than a rollback to where the
        tenant was set."""
        with self.transaction(None) as connection:
            self._execute([self.name(tenant), sql.SQL(limits), sql.SQL("SAVEPOINT standing")])
            yield replace(self, connection=connection, standing=tenant)

    def name(self, tenant: Any) -> sql.Composable:
        """The statement after which the transaction works for the tenant, whose key goes as text:
        a literal fits whatever type is asked for, a number not into set_config()."""
        cursor = psycopg.ClientCursor(self.connection)
        named = cursor.mogrify(self.tenancy.set_tenant, [str(tenant)])
        return sql.SQL(named)

    def work_for(self, tenant: Any) -> None:
        """From here to the end of the transaction the session works for the tenant."""
        self._execute([self.name(tenant)])

    @contextmanager
    def as_admin(self) -> Iterator[Connection]:
        """What the application may not do: for the block, in the admin's own role."""
        if self.role is None:
            raise ValueError("the application's own connection is no admin's")
        self.connection.execute("SET LOCAL ROLE NONE")
        yield self.connection
        take_role(self.connection, self.role)

    def _bounds(self, tenant: Any | None) -> _Bounds:
        if tenant is not None and tenant == self.standing:
            return _STANDING
        idle = self.connection.info.transaction_status == TransactionStatus.IDLE
        return _WHOLE if idle else _NESTED

    def _naming(self, tenant: Any | None, bounds: _Bounds) -> list[sql.Composable]:
        return [] if tenant is None or bounds is _STANDING else [self.name(tenant)]

    def _send(
        self,
        tenant: Any | None,
        bounds: _Bounds,
        statements: Sequence[sql.Composable],
        end: LiteralString,
    ) -> list[int]:
        before = [*map(sql.SQL, bounds.begin), *self._naming(tenant, bounds)]
        try:
            cursor = self._execute([*before, *statements, sql.SQL(end)])
        except psycopg.Error:
            if not self.connection.broken:
                self.connection.execute(bounds.undo)
            raise
        return [*_figures(cursor)][len(before) : len(before) + len(statements)]

    def _execute(self, statements: Sequence[sql.Composable]) -> psycopg.Cursor[tuple[Any, ...]]:
        return self.connection.execute(sql.SQL("; ").join(statements))


def _figures(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Iterator[int]:
    """A number for each result of a message."""
    yield _figure(cursor)
    while cursor.nextset():
        yield _figure(cursor)


def _figure(cursor: psycopg.Cursor[tuple[Any, ...]]) -> int:
    row = cursor.fetchone() if cursor.description else None
    return row[0] if row and isinstance(row[0], int) else cursor.rowcount


def take_role(connection: Connection, role: str) -> None:
    """From here to the end of the transaction the connection acts as the role."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))


@contextmanager
def as_application(
    admin: Connection, settings: Settings, before: Sequence[sql.Composable] = ()
) -> Iterator[Session]:
    """A transaction of the application role without triggers, rolled back at the end; with what
    the admin does `before` it takes the role."""
    is_superuser = admin.info.parameter_status("is_superuser") == "on"
    replica = [sql.SQL("SET LOCAL session_replication_role = replica")] if is_superuser else []
    role = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(settings.roles.app))
    with admin.transaction(force_rollback=True):
        admin.execute(sql.SQL("; ").join([*replica, *before, role]))
        yield Session(admin, settings.tenancy, settings.roles.app)


def judge(action: Callable[[], Outcome]) -> Outcome:
    """The outcome of an action, where PostgreSQL's refusal is an outcome too.

    Row security is checked before constraints: an error of a constraint means that row
    security had let the row pass.
    """
    try:
        return action()
    except errors.InsufficientPrivilege as error:
        return Outcome(False, one_line(error), never="permission denied" in str(error))
    except errors.GeneratedAlways as error:
        return Outcome(False, one_line(error), never=True)
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


def verdict_of(
    outcome: Outcome, crossed: ProbeVerdict = "leak", held: ProbeVerdict = "held"
) -> ProbeVerdict:
    """What an outcome is called where there is no control experiment."""
    if outcome.crossed is None:
        return "error"
    return crossed if outcome.crossed else held


def count_rows(rows: int, doing: str) -> Outcome:
    """Crossed when any row was touched."""
    return Outcome(rows > 0, f"{doing} {rows} rows of another tenant")


def first(connection: Connection, query: Any, values: list[Any] | None = None) -> Any:
    """The first value of the first row of an answer, None where there is none."""
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
