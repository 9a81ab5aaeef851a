"""Which errors mean that there is no server any more."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from harness.db import Connection, Target, connect, is_lost


@pytest.fixture
def connection(server: Target) -> Iterator[Connection]:
    with connect(server.admin, autocommit=True) as opened:
        yield opened


def _error(connection: Connection, statement: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement.encode())
    return raised.value


def test_a_session_that_was_ended_has_lost_its_server(connection: Connection) -> None:
    assert is_lost(_error(connection, "SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_connection_that_is_gone_has_lost_its_server(connection: Connection) -> None:
    _error(connection, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert is_lost(_error(connection, "SELECT 1"))


@pytest.mark.parametrize("state", ["08006", "57P01"])
def test_a_server_that_lost_another_one_is_there(connection: Connection, state: str) -> None:
    raises = f"DO $$ BEGIN RAISE 'a node is gone' USING ERRCODE = '{state}'; END $$"
    assert not is_lost(_error(connection, raises))
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_that_was_refused_has_not(connection: Connection) -> None:
    assert not is_lost(_error(connection, "SELECT 1 / 0"))
