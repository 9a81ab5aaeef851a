"""Arrivals of the open model come by the clock."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise

import pytest

from loadtests.arrivals import Schedule


def test_constant_arrivals_are_evenly_spaced() -> None:
    schedule = Schedule(50, "constant")
    due = [schedule.take() for _ in range(100_000)]
    assert due[:3] == pytest.approx([0.02, 0.04, 0.06])
    assert due[-1] == pytest.approx(2000), "no error adds up"


def test_poisson_arrivals_have_exponential_gaps() -> None:
    schedule = Schedule(50, "poisson", random.Random(1))
    due = [schedule.take() for _ in range(20_000)]
    gaps = [b - a for a, b in pairwise(due)]
    assert min(gaps) >= 0
    assert statistics.mean(gaps) == pytest.approx(0.02, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.05)


def test_an_arrival_is_taken_once() -> None:
    schedule = Schedule(10, "constant")
    assert schedule.peek() == schedule.take()
    assert schedule.take() == pytest.approx(0.2)
    assert schedule.left(1.05) == 8
    assert schedule.left(1.05) == 0
