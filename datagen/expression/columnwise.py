"""Functions of single values applied to whole columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from datagen.values import Mask, Values, objects

Function = Callable[..., Values]


def null_of(arguments: tuple[Values, ...]) -> Mask:
    """Where one of the arguments is NULL."""
    return reduce(or_, (argument.null for argument in arguments))


def constant_of(value: Values, default: Any = None) -> Any:
    """The one value of an argument that is a constant, such as the unit of date_trunc."""
    return value.data[0] if len(value) else default


def strict(function: Callable[..., Any], dtype: Any = object) -> Function:
    """A Python function; NULL where an argument is NULL or the function answers None."""

    def over_columns(*arguments: Values) -> Values:
        null = null_of(arguments)
        known = np.flatnonzero(~null)
        pairs = zip(*(argument.data[known].tolist() for argument in arguments), strict=True)
        return _scattered([function(*pair) for pair in pairs], known, null, dtype)

    return over_columns


def lenient(function: Callable[..., Any]) -> Function:
    """A Python function that takes NULL as None."""

    def over_columns(*arguments: Values) -> Values:
        rows = zip(*(with_none(argument) for argument in arguments), strict=True)
        items = [function(*row) for row in rows]
        every = np.arange(len(items))
        return _scattered(items, every, np.zeros(len(items), bool), object)

    return over_columns


def numeric(function: Callable[..., Any]) -> Function:
    """A numpy function of floating point numbers."""

    def over_columns(*arguments: Values) -> Values:
        with np.errstate(all="ignore"):
            data = function(*(as_floats(argument) for argument in arguments))
        return Values(data, null_of(arguments))

    return over_columns


def with_none(value: Values) -> list[Any]:
    """The values as Python objects, None where NULL."""
    items = value.data.tolist()
    return [None if n else v for v, n in zip(items, value.null.tolist(), strict=True)]


def as_floats(value: Values) -> Any:
    """The data as float64, also under NULLs."""
    if value.data.dtype != object:
        return value.data.astype(float)
    return np.array([0.0 if item is None else float(item) for item in with_none(value)], float)


def _scattered(items: list[Any], at: Any, null: Mask, dtype: Any) -> Values:
    """Items at their rows; None is NULL."""
    absent = [item is None for item in items]
    if any(absent):
        null = null.copy()
        null[at[absent]] = True
        items = [0 if item is None and dtype is not object else item for item in items]
    data = np.zeros(len(null), dtype)
    data[at] = objects(items) if dtype is object else items
    return Values(data, null)
