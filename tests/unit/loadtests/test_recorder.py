"""What is counted while requests are measured is what a histogram would have recorded."""

from __future__ import annotations

import random

import pytest
from hdrh.histogram import HdrHistogram

from loadtests.recorder import (
    LONGEST_US,
    Record,
    at_rest,
    encoded,
    new_histogram,
    new_tally,
    told_apart,
)


def _histogram(text: str) -> HdrHistogram:
    made = new_histogram()
    made.decode_and_add(text)
    return made


def test_counts_are_the_histogram_that_records_one_value_after_the_other() -> None:
    chance = random.Random(3)
    tally, recorded = new_tally(), new_histogram()
    for _ in range(5000):
        value = int(10 ** chance.uniform(0, 8.7))
        tally[told_apart(value)] += 1
        recorded.record_value(value)
    assert encoded(tally) == recorded.encode().decode()


def test_what_is_beyond_a_histogram_counts_as_its_bounds() -> None:
    found = _histogram(encoded({0: 1, LONGEST_US * 3: 2}))
    assert found.total_count == 3
    assert found.get_min_value() == 1
    assert found.get_max_value() == pytest.approx(LONGEST_US, rel=0.001)


def test_ever_longer_latencies_take_no_more_than_some_thousand_counts() -> None:
    values = {told_apart(value) for value in range(1_000_000)}
    assert len(values) < 12_000


def test_answers_are_told_once_and_kept() -> None:
    record = Record()
    for microseconds in (70, 70, 90):
        record.answered("small", microseconds, 2, 1)
    assert record.count() == ({70: 2, 90: 1}, 6)
    record.answered("giant", 80, 1, 1)
    assert record.by_class() == {"small": {70: 2, 90: 1}, "giant": {80: 1}}
    assert record.requests == 4, "told or not"
    assert record.count() == ({80: 1}, 1)
    assert record.count() == ({}, 0)
    assert record.by_class() == {"small": {70: 2, 90: 1}, "giant": {80: 1}}


def test_classes_of_tenants_are_told_apart_at_rest() -> None:
    record = Record()
    record.answered("small", 70, 1, 1)
    record.timed_out("giant", 5_000_000, "too late")
    found = at_rest("q", record)
    assert {name: _histogram(text).total_count for name, text in found.response.items()} == {
        "small": 1,
        "giant": 1,
    }
    assert (found.timeouts, found.message, found.service) == (1, "too late", "")
