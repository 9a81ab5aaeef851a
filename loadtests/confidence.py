"""How sure a measured percentile is: intervals by order statistics, whatever the distribution.

The number of samples at or below the true p-quantile is binomial (n, p), so the k-th smallest
sample bounds the quantile with a probability that does not depend on how latencies are
distributed. Source: H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed., Wiley 2003, §7.1;
J.-Y. Le Boudec, Performance Evaluation of Computer and Communication Systems, EPFL Press 2010,
theorem 2.1. Samples are taken as independent; a hiccup that hits many at once is not, which
makes a verdict of few samples less sure than stated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from itertools import count

import numpy as np

CONFIDENCE = 0.95
"""Of an interval, so that one of its ends errs in one of forty cases. A run looks twice at most
(at its end and after an extension): a verdict errs in one of twenty (Bonferroni)."""
_NORMAL = 1.96
"""The quantile of the normal distribution at (1 + CONFIDENCE) / 2."""


def ranks(samples: int, quantile: float) -> tuple[int | None, int | None]:
    """Ranks, from 1, of the samples between which the true quantile lies with CONFIDENCE.

    None at an end where even the smallest or largest sample is no bound.
    """
    if not samples:
        return None, None
    doubt = (1 - CONFIDENCE) / 2
    at_most = _binomial(samples, quantile)
    lower = int(np.searchsorted(at_most, doubt, side="right"))
    upper = int(np.searchsorted(at_most, 1 - doubt, side="left")) + 1
    return lower or None, upper if upper <= samples else None


def at_rank(steps: Iterable[tuple[int, int]], rank: int | None) -> float | None:
    """The sample of that rank in milliseconds, of (microseconds, count) in rising order."""
    reached = 0
    for value, times in steps if rank is not None else ():
        reached += times
        if rank is not None and reached >= rank:
            return value / 1000
    return None


def fewest(quantile: float) -> int:
    """So many samples there must be before the largest of them bounds the quantile."""
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(quantile))


@cache
def enough(quantile: float) -> int:
    """So many samples there must be before the second largest of them bounds the quantile, so that
    one hiccup leaves no verdict open."""
    return next(
        samples
        for samples in count(fewest(quantile))
        if (ranks(samples, quantile)[1] or samples) < samples
    )


def needed(samples: int, within: float, quantile: float) -> int:
    """So many samples would decide, about, when a share of `within` keeps the budget.

    By the normal approximation of the binomial, more than there are; 0 where the share is the
    quantile itself and no number of samples is likely to decide.
    """
    if within == 1.0:
        return fewest(quantile)
    distance = abs(within - quantile)
    if distance < 1e-6:
        return 0
    z = _NORMAL
    return max(
        fewest(quantile), samples + 1, math.ceil(z**2 * quantile * (1 - quantile) / distance**2)
    )


def _binomial(samples: int, share: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """P(X ≤ k) for k from 0 to `samples`, in logarithms so that no term underflows alone."""
    k = np.arange(samples)
    steps = np.log((samples - k) / (k + 1)) + math.log(share / (1 - share))
    terms = samples * math.log1p(-share) + np.concatenate(([0.0], np.cumsum(steps)))
    return np.cumsum(np.exp(terms))
