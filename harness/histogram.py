"""What an HdrHistogram holds, bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hdrh.histogram import HdrHistogram


def recorded(histogram: HdrHistogram) -> Iterator[tuple[int, int]]:
    """Each bucket that anything fell into: its highest value, and how many fell into it.

    As get_recorded_iterator() has it, which hands out one object again and again and looks at
    each of some twenty thousand buckets.
    """
    for index in np.flatnonzero(np.ctypeslib.as_array(histogram.counts)).tolist():
        value = histogram.get_value_from_index(index)
        yield histogram.get_highest_equivalent_value(value), histogram.counts[index]
