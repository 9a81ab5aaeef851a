"""Every query is driven often enough to be judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.budget import parse
from loadtests.query import Query
from loadtests.workload import weights

QUERY = Query("a", "A", "SELECT 1", parse("p95 50ms"), "read")


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ([1], [1]),
        ([1, 1], [1, 1]),
        ([1, 3], [1, 3]),
        ([1, 19], [5, 19]),
        ([1, 1, 10], [2, 2, 10]),
        ([], []),
    ],
)
def test_no_query_gets_less_than_half_an_equal_share(given: list[int], drawn: list[float]) -> None:
    assert weights([replace(QUERY, weight=weight) for weight in given]) == drawn
