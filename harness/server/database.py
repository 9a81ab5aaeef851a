"""Databases on a server that the harness may make and drop."""

from __future__ import annotations

from typing import LiteralString

from psycopg import errors, sql

from harness.db import connect


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


def drop(maintenance: str, name: str) -> None:
    """Drops the database and whoever is connected to it."""
    with connect(maintenance, autocommit=True) as connection:
        connection.execute(_statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))


def _statement(text: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(name))
