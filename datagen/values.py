"""A column of values with NULLs: numpy data beside a mask.

Types by SQL type: boolean bool, integers int64, numeric and floating point float64, timestamps
datetime64[us] (UTC), dates datetime64[D], times int64 microseconds, intervals timedelta64[us],
uuid V16, everything else object (str, bytes, list). Data under a set mask is meaningless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Values:
    """`data[i]` where not `null[i]`."""

    data: Array
    null: Mask

    def __len__(self) -> int:
        return len(self.data)

    def take(self, rows: Array) -> Values:
        """The values at these positions."""
        return Values(self.data[rows], self.null[rows])

    def put(self, rows: Array, other: Values) -> Values:
        """A copy in which `other` stands at these positions (indexes or a mask)."""
        data, null = self.data.copy(), self.null.copy()
        null[rows] = other.null
        if data.dtype != other.data.dtype:
            if other.null.all():
                return Values(data, null)
            kind = other.data.dtype if self.null.all() else np.result_type(data, other.data)
            data = np.zeros(len(data), kind) if self.null.all() else data.astype(kind)
        data[rows] = other.data
        return Values(data, null)


def of(data: Any, null: Mask | None = None) -> Values:
    """Values without NULLs, or with the given ones."""
    array = data if isinstance(data, np.ndarray) else np.asarray(data)
    return Values(array, np.zeros(len(array), bool) if null is None else null)


def constant(value: Any, rows: int) -> Values:
    """The same value everywhere; None is NULL."""
    if value is None:
        return nulls(rows)
    if isinstance(value, str | bytes):
        return of(np.full(rows, value, object))
    if isinstance(value, list | tuple):
        data = np.empty(rows, object)
        data[:] = [value] * rows
        return of(data)
    return of(np.full(rows, value))


def nulls(rows: int) -> Values:
    """NULL everywhere."""
    return Values(np.full(rows, None, object), np.ones(rows, bool))


def objects(items: list[Any]) -> Array:
    """A one-dimensional object array, also of lists."""
    data = np.empty(len(items), object)
    data[:] = items
    return data


def are_texts(data: Array) -> bool:
    """Whether all items are texts; told by their types, of which there are few."""
    if data.dtype.kind not in "OU":
        return False
    return all(issubclass(kind, str) for kind in set(map(type, data.tolist())))


def hashable(values: Values) -> list[Any]:
    """The values as Python objects that can be compared, None where NULL."""
    data = values.data
    items = [bytes(item) for item in data] if data.dtype == "V16" else data.tolist()
    return [
        None if null else tuple(item) if isinstance(item, list) else item
        for item, null in zip(items, values.null.tolist(), strict=True)
    ]
