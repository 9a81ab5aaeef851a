"""The buckets of a histogram, against hdrh's own iterator."""

from __future__ import annotations

from hdrh.histogram import HdrHistogram

from harness.histogram import recorded
from harness.report import prometheus_load
from tests.unit.conftest import query_result


def test_buckets_are_those_of_the_library() -> None:
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in (1, 7, 7, 950, 2_047, 2_048, 2_049, 304_900, 59_999_999):
        histogram.record_value(value)
    theirs = [
        (step.value_iterated_to, step.count_added_in_this_iter_step)
        for step in histogram.get_recorded_iterator()
    ]
    decoded = HdrHistogram.decode(histogram.encode())
    assert list(recorded(histogram)) == theirs == list(recorded(decoded))
    assert sum(count for _, count in theirs) == 9


def test_prometheus_buckets_add_up() -> None:
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in (900, 30_000, 30_000, 200_000):
        histogram.record_value(value)
    query = query_result(statement="SELECT 1", histogram=histogram.encode().decode())
    pairs, _ = prometheus_load._buckets(query)
    assert pairs == [("0.01", 1), ("0.04", 3), ("+Inf", query.samples)]
