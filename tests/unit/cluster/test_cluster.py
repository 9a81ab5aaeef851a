"""A cluster on paper: places, sizes, and what is advised."""

from __future__ import annotations

import numpy as np
import pytest

from harness.__main__ import main
from harness.cluster import placement
from harness.cluster.advice import advise
from harness.cluster.simulation import Cluster, draws, simulate
from harness.cluster.sizing import size

ALIKE = Cluster(tenants=1000, rows_per_tenant=100, skew=0, nodes=4, shard_count=32)


def test_shards_have_equal_intervals_of_the_hashes() -> None:
    hashes = np.array([-(2**31), -(2**31) + 2**30 - 1, -(2**30), -1, 0, 2**31 - 1], np.int32)
    assert placement.shards(hashes, 4).tolist() == [0, 0, 1, 1, 2, 3]
    assert placement.shards(hashes[-1:], 7).tolist() == [6], "the last has what is left over"
    assert placement.nodes(np.arange(5), 2).tolist() == [0, 1, 0, 1, 0]


def test_tenants_alike_lie_evenly() -> None:
    found = simulate(ALIKE, seed=1)
    assert found.largest == pytest.approx(1 / 1000)
    assert 1 < found.nodes.median < 1.1
    assert found.shards.median > found.nodes.median
    assert found.rebalanced.median <= found.nodes.median


def test_the_same_seed_places_alike() -> None:
    assert simulate(ALIKE, seed=1) == simulate(ALIKE, seed=1)
    assert simulate(ALIKE, seed=1) != simulate(ALIKE, seed=2)


def test_skew_makes_one_node_full() -> None:
    skewed = Cluster(tenants=1000, rows_per_tenant=100, skew=1.2, nodes=4, shard_count=32)
    assert simulate(skewed, seed=1).nodes.median > 1.3


def test_many_tenants_are_placed_less_often() -> None:
    assert [draws(tenants) for tenants in (1, 100_000, 5_000_000, 10**9)] == [200, 200, 4, 1]


def test_sizes_where_they_were_measured_are_the_measured_ones() -> None:
    measured = Cluster(tenants=100, rows_per_tenant=1000, skew=0, nodes=2, shard_count=4)
    sizes = size(measured, tables=650, bytes_per_row=100)
    assert sizes.empty_bytes == pytest.approx(132e6)
    assert sizes.relations_per_worker == 7665
    assert sizes.deploy_seconds == pytest.approx(58.5)
    assert (sizes.row_bytes, sizes.node_bytes, sizes.shards) == (1e7, 5e6, 2600)


@pytest.mark.parametrize(
    ("tenants", "skew", "nodes", "shard_count", "said"),
    [
        (1000, 0.0, 4, 32, []),
        (1000, 0.0, 8, 4, ["4 nodes would get nothing: take at least --shard-count 16"]),
        (10_000, 0.0, 6, 32, ["--shard-count 36 divides evenly"]),
        (1000, 1.5, 4, 32, ["of a node's even share", "by_disk_size"]),
    ],
)
def test_what_is_uneven_is_told_with_a_remedy(
    tenants: int, skew: float, nodes: int, shard_count: int, said: list[str]
) -> None:
    cluster = Cluster(tenants, 100, skew, nodes, shard_count)
    lines = list(advise(cluster, simulate(cluster, seed=1)))
    assert len(lines) == len(said)
    for line, part in zip(lines, said, strict=True):
        assert part in line


def test_the_command_tells_what_is_computed_simulated_and_scaled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["plan", "--tenants", "100", "--rows-per-tenant", "1000", "--nodes", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0].startswith("computed   100,000 rows of 100 tenants, 45 MB with indexes")
    assert {line.split()[0] for line in lines if line} == {
        "computed",
        "simulated",
        "scaled",
        "advice:",
    }
