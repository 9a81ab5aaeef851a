"""A histogram as its filled buckets: what is compressed together with others is smaller than what
was compressed alone."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
from hdrh.histogram import HdrHistogram

Sparse = list[list[int]]
"""Lowest and highest trackable value and significant figures; distances between the indexes of
filled buckets; counts."""


def of(histogram: str) -> Sparse | str:
    """The buckets of an encoded histogram, or what was given where they would not give it back."""
    if not histogram:
        return histogram
    buckets = _buckets(HdrHistogram.decode(histogram))
    return buckets if encoded(buckets) == histogram else histogram


def encoded(buckets: Sparse | str) -> str:
    """The histogram again, V2 compressed, base64."""
    if isinstance(buckets, str):
        return buckets
    (low, high, figures), distances, counts = buckets
    histogram = HdrHistogram(low, high, figures)
    for index, count in zip(accumulate(distances), counts, strict=True):
        histogram.record_value(histogram.get_value_from_index(index), count)
    return str(histogram.encode().decode())


def _buckets(histogram: HdrHistogram) -> Sparse:
    filled = np.flatnonzero(np.ctypeslib.as_array(histogram.counts)).tolist()
    shape = [
        histogram.lowest_trackable_value,
        histogram.highest_trackable_value,
        histogram.significant_figures,
    ]
    distances = [after - before for before, after in pairwise([0, *filled])]
    return [shape, distances, [histogram.counts[index] for index in filled]]
