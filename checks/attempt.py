"""What probes are made of: a subject to attack, a session to attack it from, an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import errors, sql

from harness.catalog.model import Table
from harness.config import Tenancy
from harness.db import Connection, is_lost, one_line


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

    def compose(self, statement: LiteralString) -> sql.Composed:
        """The statement with {table}, {tenant} and {columns} (all that may be inserted, without
        the tenant) filled in."""
        columns = [
            sql.Identifier(column.name)
            for column in self.table.columns.values()
            if column.generated is None and column.name != self.tenant_column
        ]
        return sql.SQL(statement).format(
            table=self.table.name.identifier,
            tenant=sql.Identifier(self.tenant_column),
            columns=sql.SQL(", ").join(columns),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """Transactions of the application role; each is rolled back unless it only reads.

    `nested` sessions run inside an outer transaction, as savepoints.
    """

    connection: Connection
    tenancy: Tenancy

    @contextmanager
    def transaction(self, tenant: Any | None, commit: bool = False) -> Iterator[Connection]:
        """A transaction for the tenant, or for none."""
        with self.connection.transaction(force_rollback=not commit):
            if tenant is not None:
                self.connection.execute(self.tenancy.set_tenant.encode(), [tenant])
            yield self.connection


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


def count_rows(rows: int, doing: str) -> Outcome:
    """Crossed when any row was touched."""
    return Outcome(rows > 0, f"{doing} {rows} rows of another tenant")
