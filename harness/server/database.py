"""Databases on a server that the harness may make and drop."""

from __future__ import annotations

from typing import LiteralString

from psycopg import errors, sql

from harness.db import connect, one_line
from harness.errors import UsageError


def ensure(maintenance: str, name: str) -> None:
    """Creates the database unless it is there. `maintenance` is a DSN of another one.

    What an interrupted DROP DATABASE left behind is no database any more: nothing can connect to
    it (datconnlimit -2, since PostgreSQL 16). It is dropped for good first.
    """
    with connect(maintenance, autocommit=True) as connection:
        found = connection.execute(
            "SELECT datconnlimit = -2 FROM pg_database WHERE datname = %s", [name]
        ).fetchone()
        if found == (False,):
            return
        if found == (True,):
            connection.execute(_statement("DROP DATABASE IF EXISTS {}", name))
        try:
            connection.execute(_statement("CREATE DATABASE {} TEMPLATE template0", name))
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            return  # another process was first


def copy(maintenance: str, name: str, template: str) -> None:
    """Creates the database as a copy of another one, to which nobody is connected.

    Raises UsageError where the server does not let this role, or has one of that name.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
        sql.Identifier(name), sql.Identifier(template)
    )
    with connect(maintenance, autocommit=True) as connection:
        try:
            connection.execute(statement)
        except (errors.InsufficientPrivilege, errors.DuplicateDatabase) as error:
            raise UsageError(f"database {name} cannot be made: {one_line(error)}") from None


def drop(maintenance: str, name: str) -> None:
    """Drops the database and whoever is connected to it."""
    with connect(maintenance, autocommit=True) as connection:
        connection.execute(_statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))


def _statement(text: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(name))
