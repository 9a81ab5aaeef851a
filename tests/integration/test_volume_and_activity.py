"""What a database holds, and what its server counts, read from PostgreSQL's own views."""

from __future__ import annotations

from harness.db import Target, connect
from harness.server import activity, volume


def test_a_partitioned_table_counts_with_its_partitions_and_what_is_ours_not(
    database: Target,
) -> None:
    with connect(database.admin) as connection:
        connection.execute("CREATE SCHEMA a; CREATE SCHEMA harness")
        connection.execute("CREATE TABLE a.log (n integer PRIMARY KEY) PARTITION BY RANGE (n)")
        for low in (0, 500):
            statement = "CREATE TABLE a.log_{0} PARTITION OF a.log FOR VALUES FROM ({0}) TO ({1})"
            connection.execute(statement.format(low, low + 500).encode())
        connection.execute("CREATE TABLE a.small (n integer); CREATE TABLE harness.own (n integer)")
        connection.execute("INSERT INTO a.log SELECT generate_series(0, 999)")
    measured = volume.measure(database)
    assert [table.table for table in measured.largest] == ["a.log", "a.small"]
    assert set(measured.schemas) == {"a"}
    log = measured.largest[0]
    assert log.heap_bytes >= 2 * 8192
    assert log.index_bytes >= 2 * 8192
    assert measured.schemas["a"].bytes == log.bytes


def test_counters_tell_what_came_between(database: Target) -> None:
    before = activity.read(database)
    with connect(database.admin) as connection:
        connection.execute("CREATE TABLE a AS SELECT generate_series(1, 1000) AS n")
        connection.execute("SELECT pg_stat_force_next_flush()")
    counted = activity.between(before, activity.read(database))
    changes = {(each.group, each.name): each.change for each in counted}
    assert (changes["database", "rows inserted"] or 0) >= 1000, "and some of the catalog"
    assert changes["WAL", "records"]
    assert {group for group, _ in changes} == {
        "database",
        "tables",
        "I/O of sessions",
        "checkpoints",
        "WAL",
    }
