"""Given costs that follow a law, it is told, with an extrapolation that holds what is true."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import pytest

from loadtests.growth.laws import Call, fit

FACTOR = 50.0
LAWS: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 12.0,
    "logarithmic": lambda n: 3 * math.log(n),
    "linear": lambda n: 20 + n / 50,
    "n log n": lambda n: n * math.log(n) / 500,
    "quadratic": lambda n: 5 + n**2 / 1e5,
}


def _calls(law: Callable[[float], float], noise: float) -> Iterator[Call]:
    """Eight calls of two tenants, the first four times the second, at four sizes; the second's
    calls cost twice as much for the same rows."""
    dice = random.Random(7)
    for tenant, share in enumerate((1.0, 0.25)):
        for size, rows in enumerate((1000, 2000, 4000, 8000)):
            for _ in range(8):
                cost = law(rows * share) * (1 + tenant) * math.exp(dice.gauss(0, noise))
                yield Call((tenant, size), rows * share, cost)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("name", LAWS)
def test_the_law_is_told_and_what_it_comes_to(name: str, noise: float) -> None:
    found = fit(list(_calls(LAWS[name], noise)), FACTOR)
    assert found
    if name != "n log n":  # which is so near to linear that calls do not refute it
        assert found.shape == name
    true = LAWS[name](8000 * FACTOR)
    assert 0.8 * found.low <= true <= 1.2 * found.high
    assert found.low <= found.at_target <= found.high
    assert (found.support > 0.9) is (name in ("linear", "n log n", "quadratic"))


def test_noise_is_told_from_growth() -> None:
    found = fit(list(_calls(LAWS["constant"], 0.4)), FACTOR)
    assert found
    assert found.shape == "constant"
    assert found.slope_low < 0 < found.slope_high


def test_a_slope_of_proportional_growth_is_one() -> None:
    found = fit(list(_calls(lambda n: n / 10, 0.1)), FACTOR)
    assert found
    assert found.slope_low <= 1.0 <= found.slope_high


def test_that_large_tenants_cost_more_is_no_growth() -> None:
    """One tenant's calls are dear, at every size alike."""
    calls = [Call((t, s), 100.0 * (t + 1) * 2**s, 10.0 * (t + 1)) for t in (0, 1) for s in range(4)]
    found = fit(calls, FACTOR)
    assert found
    assert found.shape == "constant"


def test_rows_that_hardly_differ_tell_nothing() -> None:
    assert fit([Call((0, s), 1000.0 + s, 10.0 + s) for s in range(12)], FACTOR) is None


def test_few_calls_tell_nothing() -> None:
    assert fit([Call((0, s), 1000.0 * 2**s, 10.0) for s in range(3)], FACTOR) is None
