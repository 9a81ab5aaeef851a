"""Intervals of percentiles: the ranks that tables of order statistics give."""

from __future__ import annotations

import random

from loadtests.confidence import enough, fewest, needed, ranks


def test_ranks_of_a_median_are_those_of_the_tables() -> None:
    """Le Boudec's table of the median at 95 %: n = 10 and 31."""
    assert ranks(10, 0.5) == (2, 9)
    assert ranks(31, 0.5) == (10, 22)


def test_the_largest_sample_bounds_a_quantile_from_a_number_of_samples_on() -> None:
    assert fewest(0.95) == 72
    assert ranks(72, 0.95)[1] == 72
    assert ranks(71, 0.95)[1] is None
    assert ranks(0, 0.95) == (None, None)


def test_one_hiccup_leaves_a_quantile_bounded_from_a_number_of_samples_on() -> None:
    assert enough(0.95) == 110
    assert ranks(110, 0.95)[1] == 109
    assert ranks(109, 0.95)[1] == 109


def test_a_few_samples_bound_a_quantile_from_neither_side() -> None:
    assert ranks(1, 0.95) == (None, None)
    assert ranks(1, 0.5) == (None, None)


def test_many_samples_narrow_the_interval() -> None:
    lower, upper = ranks(1_000_000, 0.99)
    assert lower
    assert upper
    assert 989_700 < lower < 990_000 < upper < 990_300


def test_the_interval_covers_the_quantile_as_often_as_it_says() -> None:
    chance, covered, rounds = random.Random(1), 0, 2000
    lower, upper = ranks(300, 0.95)
    assert lower
    assert upper
    for _ in range(rounds):
        samples = sorted(chance.random() for _ in range(300))
        covered += samples[lower - 1] <= 0.95 <= samples[upper - 1]
    assert covered / rounds >= 0.945


def test_what_is_needed_grows_as_the_budget_comes_near() -> None:
    assert needed(10, 1.0, 0.95) == fewest(0.95)
    assert needed(100, 0.97, 0.95) == 457
    assert needed(100, 0.951, 0.95) > 180_000
    assert needed(100, 0.95, 0.95) == 0
