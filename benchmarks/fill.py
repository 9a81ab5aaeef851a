"""Fill against the server's own limit: the same rows as a prepared binary COPY file into the same
table with the same indexes, constraints and triggers, one connection. Promise: at least half
its rate."""

from __future__ import annotations

from datetime import UTC, datetime

from psycopg import sql

from benchmarks.measure import benchmark_server, compare, seconds, tell
from datagen import tenants
from datagen.building import build as build_frame
from datagen.encode import encode
from datagen.frame import Frame
from datagen.plan import FillPlan, FillSettings, TablePlan, plan
from datagen.pools import Pools
from harness.catalog import live
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, connect
from harness.deploy.deploy import deploy

TABLE = Name("system_core", "activity_subscription")
"""A median table: two foreign keys, three CHECKs, three indexes, a trigger."""
SCALE = 100.0


def main() -> None:
    """Times both and prints the ratio of rates."""
    with benchmark_server() as (settings, fresh):
        target = fresh("fill")
        deploy(target, settings)
        with connect(target.loader, autocommit=True) as connection:
            rows, ours, server = _measure(connection, settings)
    tell(f"fill of {rows:,} rows into {TABLE}", ours, server, "at most 2.00")


def _measure(connection: Connection, settings: Settings) -> tuple[int, float, float]:
    wanted = FillSettings(1, SCALE, 1, datetime(2026, 1, 1, tzinfo=UTC))
    the_plan = plan(live.read(connection), settings, wanted)
    tenant, pools = tenants.make(1, 0), Pools(1)
    parents = _parents(connection, the_plan, tenant, pools)
    table = next(t for t in the_plan.tables if t.name == TABLE)

    def build() -> bytes:
        frame = build_frame(the_plan, table, tenant, pools, parents)
        columns = [(c, frame.column(c.name)) for c in table.columns]
        return encode(columns, the_plan.catalog)

    rows = build_frame(the_plan, table, tenant, pools, parents).rows
    prepared = build()

    def ours() -> float:
        _empty(connection)
        return seconds(lambda: _copy(connection, table, build()))

    def server() -> float:
        _empty(connection)
        return seconds(lambda: _copy(connection, table, prepared))

    return rows, *compare(ours, server, rounds=5)


def _parents(
    connection: Connection, the_plan: FillPlan, tenant: tenants.Tenant, pools: Pools
) -> dict[Name, Frame]:
    """Loads the tables that the measured one refers to."""
    parents: dict[Name, Frame] = {}
    for name in ("tenant_mgmt.business", "user_mgmt.user_account", "system_core.entity_type"):
        table = next(t for t in the_plan.tables if str(t.name) == name)
        parents[table.name] = build_frame(the_plan, table, tenant, pools, parents)
        columns = [(c, parents[table.name].column(c.name)) for c in table.columns]
        _copy(connection, table, encode(columns, the_plan.catalog))
    return parents


def _copy(connection: Connection, table: TablePlan, data: bytes) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        table.name.identifier,
        sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(data)


def _empty(connection: Connection) -> None:
    connection.execute(sql.SQL("TRUNCATE {}").format(TABLE.identifier))


if __name__ == "__main__":
    main()
