"""Which law a cost follows: constant, logarithmic, linear, n log n or quadratic in rows.

A law is y = a(t) · (1 + r · f(n)) with n the tenant's rows, a factor a for every tenant t, and
r ≥ 0; errors are relative, so the fit is by least squares of logarithms. Which law: the smallest
AICc (K. P. Burnham, D. R. Anderson, Model Selection and Multimodel Inference, 2nd ed., Springer
2002, §2.4), and of those that it does not refute the one that grows least. How sure: calls are
resampled within tenant and size (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap,
1993), and each resample chooses its law anew, so that the choice is part of the uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from harness.growth_result import Fit, Shape

Array = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.intp]]

SHAPES: tuple[Shape, ...] = get_args(Shape)
"""From the one that grows least on."""
NOISE = 0.03
"""Laws that a relative difference of this size tells apart are not told apart."""
WITHIN = 6.0
"""Of AICc: a law that the best one does not beat by 20 to 1, exp(WITHIN / 2), is not refuted."""
RESAMPLES = 100
FEWEST = 6
"""Calls that a fit takes at least."""
LEAST_SPREAD = 1.3
"""The largest size is at least so many times the smallest, or no growth can be told."""
_RATIOS = np.concatenate(([0.0], np.logspace(-3, 4, 43)))
_LAWS: dict[Shape, Callable[[Array], Array]] = {
    "constant": np.zeros_like,
    "logarithmic": lambda n: np.log(n + 1),
    "linear": lambda n: n,
    "n log n": lambda n: n * np.log(n + 1),
    "quadratic": lambda n: n**2,
}


@dataclass(frozen=True, slots=True)
class Call:
    """The cost of one call and how many rows there were."""

    cell: tuple[int, int]
    """Tenant and size, by number."""
    rows: float
    cost: float


def fit(
    calls: Sequence[Call], factor: float, laws: Sequence[Shape] = SHAPES, seed: int = 1
) -> Fit | None:
    """The one of `laws` that these calls follow, and their cost where the first tenant has
    `factor` times the rows that it has at most; None where calls are too few, or rows do not
    differ enough to tell."""
    data = _Data(calls, seed)
    if len(calls) < FEWEST or not data.spread_enough:
        return None
    target = factor * data.rows[data.tenants == data.tenants[0]].max()
    # By law, then AICc or cost, then sample.
    trials = np.stack([data.trial(shape, target) for shape in laws])
    chosen = _chosen(trials[:, 0, :])
    predicted = np.take_along_axis(trials[:, 1, :], chosen[None, :], 0)[0]
    slopes = data.slopes()
    low, high = np.quantile(predicted[1:], (0.025, 0.975))
    slope_low, slope_high = np.quantile(slopes[1:], (0.025, 0.975))
    return Fit(
        shape=laws[int(chosen[0])],
        slope=float(slopes[0]),
        slope_low=float(min(slope_low, slopes[0])),
        slope_high=float(max(slope_high, slopes[0])),
        support=float(np.mean([laws[place] in SHAPES[2:] for place in chosen[1:]])),
        at_target=float(predicted[0]),
        low=float(min(low, predicted[0])),
        high=float(max(high, predicted[0])),
    )


def _chosen(criteria: Array) -> Places:
    """Per sample the first law that the best one does not refute."""
    chosen: Places = np.argmax(criteria <= criteria.min(axis=0) + WITHIN, axis=0)
    return chosen


class _Data:
    """Calls as arrays, and how often each stands in every resample; sample 0 is the calls."""

    def __init__(self, calls: Sequence[Call], seed: int) -> None:
        self.rows = np.array([max(call.rows, 1.0) for call in calls])
        self.logs = np.log([max(call.cost, 1e-3) for call in calls])
        self.tenants = np.array([call.cell[0] for call in calls])
        cells = np.unique([call.cell for call in calls], axis=0, return_inverse=True)[1].ravel()
        self.weights = _weights(cells, np.random.default_rng(seed))

    @property
    def spread_enough(self) -> bool:
        """Whether any tenant's rows differ enough between sizes."""
        of = (self.rows[self.tenants == tenant] for tenant in np.unique(self.tenants))
        return any(rows.max() >= LEAST_SPREAD * rows.min() for rows in of)

    def trial(self, shape: Shape, target: float) -> Array:
        """AICc of a law and the first tenant's cost at the target, per sample."""
        law = _LAWS[shape]
        scale = max(float(law(self.rows[:1])[0]), 1e-12)
        ratios = _RATIOS[:1] if shape == "constant" else _RATIOS
        growth = np.log1p(np.outer(ratios, law(self.rows) / scale))  # by ratio and call
        level, squares = self._levels(self.logs - growth)
        best = squares.argmin(axis=0)
        squares = np.take_along_axis(squares, best[None, :], 0)[0]
        level = np.take_along_axis(level, best[None, :], 0)[0]
        at = np.log1p(ratios[best] * float(law(np.array([target]))[0]) / scale)
        fitted = len(np.unique(self.tenants)) + 1 + (shape != "constant")
        return np.stack([_aicc(squares, len(self.rows), fitted), np.exp(level + at)])

    def slopes(self) -> Array:
        """The slope of log cost over log rows within tenants, per sample."""
        x, y = self._centred(np.log(self.rows)), self._centred(self.logs)
        slopes: Array = (self.weights * x * y).sum(axis=1) / (self.weights * x**2).sum(axis=1)
        return slopes

    def _levels(self, left: Array) -> tuple[Array, Array]:
        """The first tenant's mean of what a law leaves, and the squares around all tenants' means:
        ratio × sample."""
        first, squares = None, np.zeros((len(left), len(self.weights)))
        for tenant in dict.fromkeys(self.tenants.tolist()):
            weights = self.weights * (self.tenants == tenant)
            mean = left @ weights.T / weights.sum(axis=1)
            squares += left**2 @ weights.T - mean**2 * weights.sum(axis=1)
            first = mean if first is None else first
        assert first is not None  # noqa: S101 - there are calls
        return first, np.maximum(squares, 0.0)

    def _centred(self, values: Array) -> Array:
        """Values less their tenant's mean: sample × call."""
        centred = np.zeros_like(self.weights)
        for tenant in np.unique(self.tenants):
            own = self.tenants == tenant
            weights = self.weights * own
            mean = weights @ values / weights.sum(axis=1)
            centred += own * (values[None, :] - mean[:, None])
        return centred


def _weights(cells: Any, random: np.random.Generator) -> Array:
    """How often each call stands in the calls themselves (once) and in each resample."""
    weights = np.ones((RESAMPLES + 1, len(cells)))
    for cell in np.unique(cells):
        own = np.flatnonzero(cells == cell)
        shares = np.full(len(own), 1 / len(own))
        weights[1:, own] = random.multinomial(len(own), shares, size=RESAMPLES)
    return weights


def _aicc(squares: Array, calls: int, fitted: int) -> Array:
    spread = np.maximum(squares / calls, NOISE**2)
    return calls * np.log(spread) + 2 * fitted * (1 + (fitted + 1) / (calls - fitted - 1))
