"""What `harness metrics` costs the server that it watches, with the whole schema deployed and
filled: shared buffers of a scrape in which every collector is due, against those of the one query
of pg_stat_user_tables with sizes that peers make, and series. Promises: at most 1,000 buffers and
2,500 series.

`python -m benchmarks.metrics [RUN]`; RUN is the document of a run, whose series are told too.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from prometheus_client.core import Metric

from benchmarks.measure import benchmark_server, seconds
from datagen import fill
from datagen.plan import FillSettings
from harness.db import Connection, connect
from harness.deploy.deploy import deploy
from harness.metrics import collector
from harness.metrics.server import ServerMetrics
from harness.metrics.session import LiveSession
from harness.report.latest import LatestRun

ROUNDS = 5
PEER = """
SELECT s.*, pg_total_relation_size(s.relid) FROM pg_stat_user_tables AS s
"""
_BUFFERS = """
SELECT sum(shared_blks_hit + shared_blks_read)::bigint FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND starts_with(query, %s)
"""
_FORGET = """
SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


class Hours:
    """A clock that goes an hour further each time it is moved: everything is due then."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def main(run: str | None = None) -> None:
    """Measures and prints."""
    with benchmark_server() as (settings, fresh):
        target = fresh("metrics")
        deploy(target, settings)
        fill.fill(target, settings, FillSettings(1, 0.002, 2, datetime(2026, 1, 1, tzinfo=UTC)))
        clock = Hours()
        server = ServerMetrics(
            partial(LiveSession, target.admin), collector.read_all(), clock=clock
        )
        with connect(target.admin, autocommit=True) as watching:
            watching.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            series = _series(server())
            watching.execute(_FORGET)
            times = [_scrape(server, clock) for _ in range(ROUNDS)]
            watching.execute(PEER).fetchall()
            ours = _buffers(watching, "/* harness metrics") / ROUNDS
            peer = _buffers(watching, PEER.strip()[:20])
        server.close()
    print(
        f"scrape, all collectors due: {ours:,.0f} buffers (at most 1,000) against {peer:,.0f} of "
        f"pg_stat_user_tables with sizes, ratio {ours / peer:.3f}; median "
        f"{statistics.median(times) * 1000:.0f} ms; {series:,} series of the server"
    )
    if run:
        print(f"with {run}: {series + _series(LatestRun(Path(run))()):,} series (at most 2,500)")


def _scrape(server: ServerMetrics, clock: Hours) -> float:
    clock.now += 3600
    return seconds(server)


def _series(families: Iterable[Metric]) -> int:
    return sum(len(family.samples) for family in families)


def _buffers(connection: Connection, beginning: str) -> float:
    row = connection.execute(_BUFFERS, [beginning]).fetchone()
    return float(row[0] or 0) if row else 0.0


if __name__ == "__main__":
    main(*sys.argv[1:])
