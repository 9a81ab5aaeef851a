"""While a database is filled, functions of the schema see the moment and the keys of the data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from datagen import moment
from datagen.node import Server
from harness.catalog import live
from harness.db import Connection, Target

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TENANT = UUID("11111111-1111-7111-8111-111111111111")
NOTES = """
CREATE SCHEMA harness;
CREATE SCHEMA a;
CREATE TABLE a.note (
    business_id uuid NOT NULL, said_at timestamptz, created_at timestamptz DEFAULT now(),
    heard_at timestamptz DEFAULT clock_timestamp(), due_at timestamptz
);
CREATE FUNCTION a.say(business uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO a.note (business_id, said_at, due_at) VALUES (business, now(), '2027-01-01Z');
END
$$;
"""
REFUSAL = """
CREATE FUNCTION a.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'append only';
END
$$;
CREATE TRIGGER refusal BEFORE UPDATE ON a.note FOR EACH ROW EXECUTE FUNCTION a.refuse();
"""


@pytest.fixture
def filling(database: Target) -> Iterator[Connection]:
    """A session of a fill in a database with a function that writes."""
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(NOTES.encode())
        moment.prepare(connection)
        moment.follow(connection, AS_OF)
        yield connection


def _said(connection: Connection) -> tuple[datetime, ...]:
    """The times of a note that a function writes in a unit of a fill."""
    with connection.transaction():
        moment.restart(connection, AS_OF, 7, TENANT, "a.note")
        connection.execute("SELECT a.say(%s)", [TENANT])
        moment.date_rows(Server(connection), live.read(connection), {"business_id": TENANT})
    row = connection.execute("SELECT said_at, created_at, heard_at, due_at FROM a.note").fetchone()
    assert row is not None
    return tuple(row)


def test_what_functions_write_is_of_the_moment(filling: Connection) -> None:
    assert _said(filling) == (AS_OF, AS_OF, AS_OF, datetime(2027, 1, 1, tzinfo=UTC))


def test_rows_that_may_not_change_keep_the_time_of_the_server(filling: Connection) -> None:
    filling.execute(REFUSAL.encode())
    said_at, created_at, *_ = _said(filling)
    assert said_at == AS_OF
    assert created_at > AS_OF


def _keys(connection: Connection, seed: int) -> list[UUID]:
    """The first keys of a unit of a fill with that seed."""
    moment.restart(connection, AS_OF, seed, TENANT, "a.note")
    made = "SELECT system_core.uuid_v7() FROM generate_series(1, 3)"
    return [key for (key,) in connection.execute(made)]


def test_keys_follow_from_the_seed_for_whoever_row_security_does_not_bind(
    platform: Target,
) -> None:
    with psycopg.connect(platform.admin) as connection:
        keys = _keys(connection, 7)
        assert keys == _keys(connection, 7) == sorted(set(keys))
        assert {(key.version, key.variant) for key in keys} == {(7, "specified in RFC 4122")}
        assert not set(keys) & set(_keys(connection, 8))
        connection.execute("SET LOCAL ROLE app_user")
        assert not set(keys) & set(_keys(connection, 7))
