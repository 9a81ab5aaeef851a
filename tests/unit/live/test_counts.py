"""What a driver counts is read by another process as it was counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.live.counts import (
    BUCKETS,
    ERRORS,
    FIELDS,
    MIDDLES,
    Load,
    Promised,
    bucket,
    busiest,
    percentile,
    published,
    read,
)

LOAD = Load(
    run=1,
    database="shop on a socket",
    began=1000.0,
    warmup_seconds=3,
    seconds=40,
    users=4,
    queries=(Promised("shop.a", "p95", 0.95, 20), Promised("shop.b", "p99", 0.99, 50)),
    tenants=("first", "second"),
)


@pytest.mark.parametrize("microseconds", [0, 1, 31, 32, 63, 64, 1_000, 123_456, 599_999_999])
def test_a_bucket_is_no_wider_than_a_thirty_second_of_its_octave(microseconds: int) -> None:
    assert MIDDLES[bucket(microseconds)] * 1000 == pytest.approx(microseconds, rel=1 / 64, abs=0.5)


def test_buckets_rise_and_the_last_one_takes_what_is_longer() -> None:
    assert np.all(np.diff(MIDDLES) > 0)
    assert bucket(2**40) == BUCKETS - 1


def test_what_was_counted_is_read(tmp_path: Path) -> None:
    with published(LOAD, tmp_path) as counted:
        for milliseconds in range(1, 101):
            counted.queries["shop.b"].answered(milliseconds * 1000)
            counted.asked(b"second")
        counted.queries["shop.a"].add(ERRORS)
        (found,) = read(tmp_path)
    assert found.load == LOAD
    assert found.queries[0, ERRORS] == 1
    buckets = found.queries[1, FIELDS:]
    assert percentile(buckets, 0.95) == pytest.approx(95, rel=1 / 64)
    assert percentile(buckets, 1) == pytest.approx(100, rel=1 / 64)
    assert percentile(found.queries[0, FIELDS:], 0.95) is None
    assert busiest(found, 5) == {"second": 100}
    assert list(tmp_path.iterdir()) == [], "they are gone with the driver"


def test_processes_of_one_load_are_added_up(tmp_path: Path) -> None:
    with published(LOAD, tmp_path) as counted:
        counted.queries["shop.a"].answered(10)
        own, numbers = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
        (tmp_path / f"1-{own.name.partition('-')[2]}").write_bytes(own.read_bytes())
        (tmp_path / "1-counts").write_bytes(numbers.read_bytes())
        (both,) = read(tmp_path)
    assert both.load.users == 8
    assert both.queries.sum() == 4, "an answer and its bucket, of each"


def test_what_a_killed_driver_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "999999999-load.json").write_text(json.dumps({}))
    assert read(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
