"""What the planner knows while a fill goes on."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from datagen import statistics
from datagen.node import Server
from harness.db import Connection, Target

SQL = """
CREATE TABLE bill (n integer);
CREATE TABLE event (happened integer NOT NULL) PARTITION BY RANGE (happened);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (1000);
"""


@pytest.fixture
def connection(database: Target) -> Iterator[Connection]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(SQL)
        yield connection


def _known(connection: Connection) -> dict[str, float]:
    rows = connection.execute(
        "SELECT relname, reltuples FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    return {name: tuples for name, tuples in rows if tuples >= 0}


def _renew(connection: Connection) -> None:
    """As if another connection had made the changes some time ago."""
    node = Server(connection)
    statistics.count(node)
    statistics.renew(node)


def test_a_table_that_was_filled_is_analyzed(connection: Connection) -> None:
    connection.execute("INSERT INTO bill SELECT n FROM generate_series(1, 900) AS n")
    _renew(connection)
    assert _known(connection) == {"bill": 900}


def test_a_partitioned_table_is_analyzed_as_a_whole(connection: Connection) -> None:
    connection.execute("INSERT INTO event SELECT n FROM generate_series(1, 900) AS n")
    _renew(connection)
    assert _known(connection) == {"event": 900, "event_1": 900}


def test_a_table_that_changed_little_is_left_alone(connection: Connection) -> None:
    connection.execute("INSERT INTO bill SELECT n FROM generate_series(1, 9000) AS n")
    _renew(connection)
    connection.execute("INSERT INTO bill SELECT n FROM generate_series(1, 500) AS n")
    _renew(connection)
    assert _known(connection) == {"bill": 9000}


def test_nobody_is_waited_for_in_the_end(connection: Connection, database: Target) -> None:
    for table in ("bill", "event"):
        connection.execute(f"INSERT INTO {table} SELECT n FROM generate_series(1, 900) AS n")
    with psycopg.connect(database.admin) as other:
        other.execute("LOCK TABLE bill IN SHARE UPDATE EXCLUSIVE MODE")
        statistics.complete(connection)
    assert _known(connection) == {"event": 900, "event_1": 900}
