"""Autovacuum stays away while statements fill tables, and comes back whatever ends them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from datagen.unattended import heal, leave, left, unattended
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Target
from harness.deploy import roles
from harness.deploy import target as targets
from tests.integration.spares import database as made_database

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.total (id int);
CREATE TABLE shop.loaded (id int);
CREATE TABLE shop.tuned (id int) WITH (autovacuum_enabled = true, fillfactor = 70);
CREATE TABLE shop.event (at int) PARTITION BY RANGE (at);
CREATE TABLE shop.event_first PARTITION OF shop.event FOR VALUES FROM (0) TO (10);
"""
TABLES = [Name("shop", table) for table in ("total", "tuned", "event")]
OFF = {"total", "event_first"}


@pytest.fixture
def foreign(server: Target, settings: Settings) -> Iterator[Target]:
    with made_database(server, settings) as database:
        _execute(database, SCHEMA)
        yield database


@pytest.fixture
def shop(foreign: Target, settings: Settings) -> Target:
    """The same, which harness deploy made."""
    with psycopg.connect(foreign.admin) as connection:
        roles.ensure(connection, settings.roles)
        targets.record(connection, [], settings.roles.loader)
    return foreign


def _execute(database: Target, text: str) -> None:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(text.encode())


def _off(database: Target) -> set[str]:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE 'autovacuum_enabled=false' = ANY (reloptions)"
        ).fetchall()
    return {name for (name,) in rows}


def _left(database: Target) -> str | None:
    with psycopg.connect(database.admin) as connection:
        return left(connection)


def test_within_the_block_autovacuum_leaves_the_tables_alone(shop: Target) -> None:
    with unattended(shop, TABLES):
        assert _off(shop) == OFF
    assert _off(shop) == set()
    assert _left(shop) is None


def test_it_comes_back_when_the_block_fails(shop: Target) -> None:
    with pytest.raises(ZeroDivisionError), unattended(shop, TABLES):
        raise ZeroDivisionError
    assert _off(shop) == set()


def test_what_a_killed_fill_left_is_told_and_attended_by_the_next(shop: Target) -> None:
    leave(shop, TABLES)
    _execute(shop, "DROP TABLE shop.total")
    assert (_left(shop) or "").startswith("autovacuum leaves 2 tables alone since a fill ended")
    with psycopg.connect(shop.loader, autocommit=True) as connection:
        heal(shop, connection)
    assert _off(shop) == set()
    assert _left(shop) is None


def test_somebodys_tables_keep_their_settings(foreign: Target) -> None:
    with unattended(foreign, TABLES):
        assert _off(foreign) == set()
