"""Rows that are like one before them."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.repeats import repeated
from datagen.values import Array, Values, objects, of

COLUMNS = {
    "integers": np.array([3, 1, 3]),
    "floats": np.array([0.0, 1.5, -0.0]),
    "booleans": np.array([True, False, True]),
    "texts": objects(["a", "ä", "a"]),
    "arrays": objects([["a"], ["a", "b"], ["a"]]),
    "bytes": objects([b"a", b"b", b"a"]),
    "moments": np.array([5, 6, 5], "datetime64[us]"),
    "keys": np.array([b"a" * 16, b"a" * 15 + b"b", b"a" * 16]).view("V16"),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_kind_of_value_is_compared(kind: str) -> None:
    assert repeated([of(COLUMNS[kind])]).tolist() == [False, False, True]


def test_all_columns_count_and_their_order() -> None:
    one, other = np.array([1, 2, 1, 1]), np.array([2, 1, 2, 1])
    assert repeated([of(one), of(other)]).tolist() == [False, False, True, False]


def test_nulls_are_alike_whatever_lies_below_them() -> None:
    data: Array = objects(["a", None, "b"])
    assert repeated([Values(data, np.array([True, True, False]))]).tolist() == [False, True, False]
