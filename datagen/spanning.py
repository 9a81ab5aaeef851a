"""Uniqueness from one cohort to the next: 64-bit hashes of what earlier cohorts hold.

Two values with the same hash are taken for the same, which only costs another draw.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from datagen.constraints import Unique
from datagen.plan import TablePlan
from datagen.values import Array, Values
from harness.catalog.model import Name

_ODD = np.uint64(0x9E3779B97F4A7C15)


def spanning(table: TablePlan, once: Collection[Name]) -> tuple[Unique, ...]:
    """The unique constraints that rows of two cohorts could break together.

    Rows of two cohorts differ in the table's own key and in what refers to rows of a cohort.
    """
    differing = [
        {own for own, _ in reference.columns}
        for reference in table.references
        if reference.parent not in once and reference.parent != table.name
    ]
    if (key := table.key) is not None:
        differing.append({key})
    return tuple(
        unique
        for unique in table.uniques
        if unique.nulls_equal or not any(names <= set(unique.columns) for names in differing)
    )


def joined(seen: Mapping[str, Array], more: Mapping[str, Array]) -> dict[str, Array]:
    """Sorted hashes of both."""
    none = np.zeros(0, "uint64")
    return {name: np.union1d(seen.get(name, none), found) for name, found in more.items()}


def among(seen: Array, columns: Sequence[Values], rows: int) -> Array:
    """Which rows are like one that was seen."""
    if not len(seen):
        return np.zeros(rows, bool)
    found = hashes(columns, rows)
    place = np.searchsorted(seen, found).clip(0, len(seen) - 1)
    same: Array = seen[place] == found
    return same


def hashes(columns: Sequence[Values], rows: int) -> Array:
    """A hash of each row; NULLs are alike."""
    total = np.zeros(rows, "uint64")
    for column in columns:
        total = (total ^ np.where(column.null, np.uint64(0), _hashed(column))) * _ODD
    return total


def _hashed(values: Values) -> Array:
    data = values.data
    if data.dtype == "V16":
        halves = np.ascontiguousarray(data).view("u8").reshape(-1, 2)
        mixed: Array = _mixed(halves[:, 0]) ^ halves[:, 1]
        return mixed
    if data.dtype.kind in "iufb":  # the same number is the same in every type
        return _mixed(data.astype("float64"))
    if data.dtype == object:
        data = np.array(["" if n else str(v) for v, n in zip(data, values.null, strict=True)], "O")
    return _mixed(data)


def _mixed(data: Array) -> Array:
    found: Array = pd.util.hash_array(data)
    return found
