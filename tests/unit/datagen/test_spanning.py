"""Given values of several cohorts, those that are there already are found."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.spanning import among, hashes, joined
from datagen.values import Array, Values, nulls, objects, of

KEYS = np.array([b"a" * 16, b"b" * 16], "V16")
COLUMNS = {
    "numbers": (of([1, 2]), of([2, 3])),
    "a number of another type": (of([1, 2]), of(np.array([2.0, 3.0]))),
    "texts": (of(objects(["x", "y"])), of(objects(["y", "z"]))),
    "moments": (
        of(np.array(["2026-01-01", "2026-01-02"], "datetime64[us]")),
        of(np.array(["2026-01-02", "2026-01-03"], "datetime64[us]")),
    ),
    "uuids": (of(KEYS), of(np.array([b"b" * 16, b"c" * 16], "V16"))),
    "lists": (of(objects([["x"], ["y", "z"]])), of(objects([["y", "z"], ["y"]]))),
}


def _seen(*columns: Values) -> Array:
    return joined({}, {"u": hashes(columns, len(columns[0]))})["u"]


@pytest.mark.parametrize(("earlier", "later"), COLUMNS.values(), ids=COLUMNS)
def test_a_value_of_an_earlier_cohort_is_found(earlier: Values, later: Values) -> None:
    assert among(_seen(earlier), [later], 2).tolist() == [True, False]


def test_several_columns_are_the_same_only_together() -> None:
    earlier = (of([1, 2]), of(objects(["x", "y"])))
    later = (of([1, 2]), of(objects(["y", "y"])))
    assert among(_seen(*earlier), later, 2).tolist() == [False, True]


def test_nulls_are_alike_and_like_nothing_else() -> None:
    assert among(_seen(nulls(1)), [of(objects(["x"]))], 1).tolist() == [False]
    assert among(_seen(nulls(1)), [nulls(1)], 1).tolist() == [True]


def test_without_columns_any_row_is_like_any_other() -> None:
    seen = joined({}, {"u": hashes((), 1)})["u"]
    assert among(seen, (), 2).tolist() == [True, True]
    assert among(joined({}, {"u": hashes((), 0)})["u"], (), 2).tolist() == [False, False]


def test_what_was_seen_grows() -> None:
    first = joined({}, {"u": hashes([of([1])], 1)})
    both = joined(first, {"u": hashes([of([2])], 1)})
    assert among(both["u"], [of([1, 2, 3])], 3).tolist() == [True, True, False]
