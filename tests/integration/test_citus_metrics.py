"""What collectors ask of a Citus cluster is answered, to a role that may only monitor."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from harness.db import connect
from tests.conftest import ROOT
from tests.integration import citus_cluster

pytestmark = pytest.mark.citus

COLLECTORS = ROOT / "harness" / "metrics" / "collectors"
MONITOR = "harness_monitor"


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    with citus_cluster.database(citus_cluster.dsn()) as made:
        with connect(made, autocommit=True) as admin:
            citus_cluster.prepare(admin)
        yield made


def asked(own: str, name: str) -> list[dict[str, Any]]:
    """The rows of a collector, each with what its file says it gives."""
    collector = tomllib.loads((COLLECTORS / f"{name}.toml").read_text(encoding="utf-8"))
    options = "-c default_transaction_read_only=on -c search_path=pg_catalog"
    with psycopg.connect(
        make_conninfo(own, user=MONITOR, options=options), row_factory=dict_row
    ) as monitor:
        rows = monitor.execute(collector["sql"], {"top": 10}).fetchall()
    assert all(set(row) == {*collector["labels"], *collector["metrics"]} for row in rows)
    return rows


def test_shards_are_measured_where_they_lie(own: str) -> None:
    with connect(own, autocommit=True) as admin:
        total = admin.execute("SELECT sum(size) FROM citus_shard_sizes()").fetchone()
    rows = asked(own, "citus_shards")
    assert [row["shard_groups"] for row in rows] == [2, 2]
    assert total
    assert sum(row["shard_bytes"] for row in rows) == total[0] > 0
    assert all(0 < row["largest_shard_group_bytes"] <= row["shard_bytes"] for row in rows)


def test_nodes_are_reached_by_each_other(own: str) -> None:
    rows = asked(own, "citus_health")
    assert len(rows) == 3
    assert {row["reachable"] for row in rows} == {1}
