"""Fill of the median table, everything on and in mode fast, against the server's own limit: the
same rows as a prepared binary COPY file into the same table with the same indexes, constraints and
triggers, one connection. Promises: 0.9 of its rate, and 0.9 of the file and then the same DDL;
mode fast 3 times the rate of mode live; 3 µs of the client's CPU per row.

`python -m benchmarks.fill SCALE ROUNDS`; 1000 makes 300,000 rows.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import sql

from benchmarks.measure import benchmark_server
from datagen import deferring, freezing, tenants
from datagen.building import build
from datagen.encode import encode
from datagen.frame import Frame
from datagen.loading import load
from datagen.plan import FillPlan, FillSettings, TablePlan, plan
from datagen.pools import Pools
from harness.catalog import live
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.deploy.deploy import deploy

TABLE = Name("system_core", "activity_subscription")
"""A median table: two foreign keys, three CHECKs, three indexes, a trigger."""
PARENTS = ("tenant_mgmt.business", "user_mgmt.user_account", "system_core.entity_type")
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Ground:
    """A deployed database with the parents' rows, and the rows of the table as a file."""

    target: Target
    connection: Connection
    plan: FillPlan
    table: TablePlan
    tenant: tenants.Tenant
    pools: Pools
    parents: dict[Name, Frame]

    def frame(self) -> Frame:
        """The rows, made anew."""
        return build(self.plan, self.table, self.tenant, self.pools, self.parents)


def main(scale: float, rounds: int) -> None:
    """Times all four in turn and prints the ratios of rates."""
    with (
        benchmark_server() as (settings, fresh),
        on_ground(fresh("fill"), settings, scale) as ground,
    ):
        _measure(ground, rounds)


@contextmanager
def on_ground(target: Target, settings: Settings, scale: float) -> Iterator[Ground]:
    """The ground in a new database, which the schema is deployed to."""
    deploy(target, settings)
    with connect(target.loader, autocommit=True) as connection:
        yield _ground(target, connection, settings, scale)


def _measure(ground: Ground, rounds: int) -> None:
    frame = ground.frame()
    file = encoded(frame)
    spent = client_cpu(lambda: encoded(ground.frame())) / frame.rows
    ways: dict[str, Callable[[], object]] = {
        "live": lambda: load(ground.connection, ground.frame()),
        "file": lambda: copy(ground.connection, ground.table, file),
    }
    ways["fast"] = lambda: in_mode_fast(ground, lambda: _freeze(ground))
    ways["file, then DDL"] = lambda: in_mode_fast(ground, ways["file"])
    took = _in_turn(ground, ways, rounds)
    print(f"fill of {frame.rows:,} rows of {len(file) / frame.rows:.0f} bytes into {TABLE}")
    print(f"  client: {spent * 1e6:.2f} µs CPU per row to make and encode (at most 3.00)")
    for name, seconds in took.items():
        print(f"  {name}: {seconds:.2f} s with ANALYZE, {frame.rows / seconds:,.0f} rows/s")
    print(f"  live to file: rate {took['file'] / took['live']:.2f} (at least 0.90)")
    print(f"  fast to live: rate {took['live'] / took['fast']:.2f} (at least 3.00)")
    print(f"  fast to file, then DDL: rate {took['file, then DDL'] / took['fast']:.2f} (>= 0.90)")


def _in_turn(
    ground: Ground, ways: dict[str, Callable[[], object]], rounds: int
) -> dict[str, float]:
    """Median seconds of each way; the first round warms up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            ground.connection.execute(sql.SQL("TRUNCATE {}").format(TABLE.identifier))
            started = time.perf_counter()
            way()
            ground.connection.execute(sql.SQL("ANALYZE {}").format(TABLE.identifier))
            took[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds[1:]) for name, seconds in took.items()}


def in_mode_fast(ground: Ground, fill_in: Callable[[], object]) -> None:
    """Fills in with what the table has dropped before and made again after."""
    deferring.defer(ground.target, [TABLE])
    fill_in()
    if failed := deferring.restore(ground.target):
        raise SystemExit(f"the indexes did not come back: {failed}")


def _freeze(ground: Ground) -> None:
    """Loads as mode fast does where a table has no rows: a unit is a transaction."""
    with ground.connection.transaction():
        freezing.load(ground.connection, ground.frame())


def client_cpu(action: Callable[[], object]) -> float:
    """Seconds of CPU that an action takes in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    action()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ground(target: Target, connection: Connection, settings: Settings, scale: float) -> Ground:
    whole = plan(live.read(connection), settings, FillSettings(1, scale, 1, AS_OF))
    small = plan(whole.catalog, settings, FillSettings(1, 1.0, 1, AS_OF))
    tenant, pools = tenants.make(1, 0), Pools(1)
    parents: dict[Name, Frame] = {}
    for name in PARENTS:
        table = next(t for t in small.tables if str(t.name) == name)
        parents[table.name] = build(small, table, tenant, pools, parents)
        load(connection, parents[table.name])
    table = next(t for t in whole.tables if t.name == TABLE)
    return Ground(target, connection, whole, table, tenant, pools, parents)


def encoded(frame: Frame) -> bytes:
    """A frame's rows as a binary COPY file."""
    return encode([(c, frame.column(c.name)) for c in frame.table.columns], frame.plan.catalog)


def copy(connection: Connection, table: TablePlan, data: bytes) -> None:
    """Copies a binary COPY file into its table."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        table.name.identifier,
        sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        stream.write(data)


if __name__ == "__main__":
    main(float((sys.argv[1:] or ["1000"])[0]), int((sys.argv[2:] or ["3"])[0]))
