"""Fill against other ways to make rows and load them, one connection, by rates.

`pgbench -i` makes its rows in the client, too: bytes per second of the tables in mode fast, which
like it makes keys after loading; promise: 1.0. A loader of 30 lines calls Faker for every value and
sends rows with psycopg's COPY, into the median table with everything on: the factor is stated.

`python -m benchmarks.fill_peers SCALE PGBENCH_SCALE`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from faker import Faker
from psycopg import sql

from benchmarks.fill import TABLE, Ground, in_mode_fast, on_ground
from benchmarks.measure import benchmark_server, compare
from datagen.loading import load
from datagen.values import Values
from harness.db import Target, connect
from harness.server.binaries import tool

ROWS = 2_000
"""That the loader of 30 lines makes."""


def main(scale: float = 1000.0, pgbench_scale: int = 3) -> None:
    """Times each peer beside the fill."""
    with benchmark_server() as (settings, fresh):
        bench = fresh("pgbench")
        with on_ground(fresh("fill"), settings, scale) as ground:
            _pgbench(ground, bench, pgbench_scale)
            _faker(ground)


def _pgbench(ground: Ground, bench: Target, scale: int) -> None:
    def ours() -> float:
        _empty(ground)
        return _seconds(
            lambda: in_mode_fast(ground, lambda: load(ground.connection, ground.frame()))
        )

    command = [tool("pgbench"), "--initialize", "--init-steps=dtgvp", "--quiet"]
    command += [f"--scale={scale}", bench.admin]
    took, peer = compare(
        ours, lambda: _seconds(lambda: subprocess.run(command, check=True, capture_output=True)), 3
    )
    rates = (
        _bytes(ground.target, str(TABLE)) / took,
        _bytes(bench, "public.pgbench_accounts") / peer,
    )
    print(
        f"against pgbench -i: {rates[0] / 1e6:.1f} MB/s of table and indexes against "
        f"{rates[1] / 1e6:.1f} MB/s: rate {rates[0] / rates[1]:.2f} (at least 1.00)"
    )


def _faker(ground: Ground) -> None:
    frame = ground.frame()

    def ours() -> float:
        _empty(ground)
        return _seconds(lambda: load(ground.connection, ground.frame())) / frame.rows

    def peer() -> float:
        _empty(ground)
        return _seconds(lambda: _faker_loader(ground)) / ROWS

    took, theirs = compare(ours, peer, 2)
    print(
        f"against Faker for every value: {1 / took:,.0f} rows/s against {1 / theirs:,.0f} rows/s: "
        f"factor {theirs / took:.0f}"
    )


def _faker_loader(ground: Ground) -> None:
    """Rows of the median table, every value from Faker, sent with COPY."""
    names = [c.name for c in ground.table.columns]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        TABLE.identifier, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with ground.connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in _faker_rows(ground):
            copy.write_row([row[name] for name in names])


def _faker_rows(ground: Ground) -> Iterator[dict[str, Any]]:
    fake, seen = Faker(), set()
    users, types = (_keys(ground, name) for name in ("user_account", "entity_type"))
    while len(seen) < ROWS:
        muted = fake.boolean(20)
        row = {
            "business_id": str(ground.tenant.id),
            "activity_subscription_id": fake.uuid4(),
            "entity_type_id": fake.random_element(types),
            "user_account_id": fake.random_element(users),
            "entity_id": fake.uuid4(),
            "follow_level": "muted" if muted else fake.random_element(("all", "status_only")),
            "reason": fake.random_element(("created", "assigned", "commented", "manual")),
            "notify_in_app": fake.boolean(),
            "notify_email": fake.boolean(),
            "last_seen_at": fake.date_time_this_year(),
            "muted_until": fake.future_datetime() if muted else None,
            "created_at": fake.date_time_this_year(),
            "updated_at": fake.date_time_this_year(),
        }
        seen.add(row["activity_subscription_id"])
        yield row


def _keys(ground: Ground, table: str) -> list[str]:
    (frame,) = [f for name, f in ground.parents.items() if name.name == table]
    ids: Values = frame.column(f"{table}_id")
    return [bytes(key).hex() for key in ids.data]


def _empty(ground: Ground) -> None:
    ground.connection.execute(sql.SQL("TRUNCATE {}").format(TABLE.identifier))


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _bytes(target: Target, table: str) -> int:
    with connect(target.admin) as connection:
        row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone()
    assert row  # noqa: S101
    return int(row[0])


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3]))
