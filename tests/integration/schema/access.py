"""An office for tests of roles: four people, and short ways to write rows as the application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import add_account, become_app

PEOPLE = ("ada", "bob", "cleo", "dan")


@dataclass(frozen=True)
class Office:
    """A tenant with people, worked on as the application."""

    connection: Connection
    tenant: UUID
    ada: UUID
    bob: UUID
    cleo: UUID
    dan: UUID

    @classmethod
    def of(cls, connection: Connection, tenant: UUID) -> Office:
        """Makes the people, then becomes the application."""
        people = {name: add_account(connection, tenant, name) for name in PEOPLE}
        become_app(connection, tenant)
        return cls(connection, tenant, **people)

    @contextmanager
    def as_platform(self) -> Iterator[None]:
        """As a role that bypasses row security, such as the loader."""
        self.connection.execute("RESET ROLE")
        yield
        become_app(self.connection, self.tenant)

    @contextmanager
    def refusing(self, error: type[Exception], message: str) -> Iterator[None]:
        """What is in here is refused, and the transaction goes on."""
        with pytest.raises(error, match=message), self.connection.transaction():
            yield

    def run(self, query: str, *values: Any) -> None:
        """Executes a statement."""
        self.connection.execute(query.encode(), values)

    def one(self, query: str, *values: Any) -> Any:
        """The first column of the first row."""
        row = self.connection.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.connection.execute(query.encode(), values).fetchall()

    def column(self, query: str, *values: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.rows(query, *values)]

    def commit_checks(self) -> None:
        """What is looked at when the transaction commits."""
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def insert(self, table: str, /, **columns: Any) -> UUID:
        """Writes a row of a table of user_rbac and returns its key."""
        columns = {"business_id": self.tenant, **columns}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
            sql.Identifier("user_rbac", table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            sql.Identifier(f"{table}_id"),
        )
        values = [Jsonb(v) if isinstance(v, dict) else v for v in columns.values()]
        row = self.connection.execute(statement, values).fetchone()
        assert row
        return UUID(str(row[0]))

    def role(self, code: str, **columns: Any) -> UUID:
        """A role of the tenant's own."""
        return self.insert("role", code=code, name=code.title(), **columns)

    def inherit(self, senior: UUID, junior: UUID, **columns: Any) -> UUID:
        """Draws an edge."""
        return self.insert(
            "role_hierarchy", senior_role_id=senior, junior_role_id=junior, **columns
        )

    def permission(self, code: str, **columns: Any) -> UUID:
        """A permission, by its code."""
        resource, _, action = code.partition(":")
        return self.insert("permission", resource=resource, action=action, **columns)

    def grant(self, role: UUID, permission: UUID, **columns: Any) -> UUID:
        """Lets a role grant a permission."""
        return self.insert("role_permission", role_id=role, permission_id=permission, **columns)

    def assign(self, account: UUID, role: UUID, **columns: Any) -> UUID:
        """Gives a role to an account."""
        return self.insert("role_assignment", user_account_id=account, role_id=role, **columns)

    def rule(self, code: str, *roles: UUID, **columns: Any) -> UUID:
        """A separation of duty over roles."""
        made = self.insert("sod_constraint", code=code, name=code.title(), **columns)
        for role in roles:
            self.insert("sod_constraint_role", sod_constraint_id=made, role_id=role)
        return made

    def state_of(self, table: str, key: UUID) -> Any:
        """The state of a row of user_rbac."""
        statement = sql.SQL("SELECT state FROM {} WHERE {} = %s").format(
            sql.Identifier("user_rbac", table), sql.Identifier(f"{table}_id")
        )
        row = self.connection.execute(statement, [key]).fetchone()
        return row[0] if row else None
