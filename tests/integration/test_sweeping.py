"""Dead rows leave tables with GiST indexes before statements go on."""

from __future__ import annotations

import psycopg

from datagen.sweeping import sweep
from harness.db import Target

SQL = """
CREATE TABLE room (during int4range, EXCLUDE USING gist (during WITH &&));
CREATE TABLE bill (n integer);
CREATE TABLE booking (at integer, during int4range) PARTITION BY RANGE (at);
CREATE TABLE booking_1 PARTITION OF booking FOR VALUES FROM (0) TO (10);
CREATE INDEX ON booking USING gist (during);
INSERT INTO room VALUES ('[1,2)'), ('[3,4)');
INSERT INTO bill VALUES (1);
INSERT INTO booking VALUES (1, '[1,2)');
UPDATE room SET during = '[5,6)' WHERE during = '[1,2)';
UPDATE bill SET n = 2;
DELETE FROM booking;
SELECT pg_stat_force_next_flush();
"""


def test_dead_rows_are_taken_out_where_an_index_is_gist(database: Target) -> None:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(SQL)
        sweep(connection)
        swept = connection.execute(
            "SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0 ORDER BY 1"
        ).fetchall()
    assert swept == [("booking_1",), ("room",)]
