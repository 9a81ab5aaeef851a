"""Finds rows that are like one before them, column by column: by 64-bit hashes.

Two rows with the same hash are taken for the same, which only costs another draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from datagen.values import Array, Mask, Values, are_texts, objects

_ODD = np.uint64(0x9E3779B97F4A7C15)


def repeated(columns: Sequence[Values]) -> Mask:
    """Which rows are like one before them; NULLs are alike."""
    total = np.zeros(len(columns[0]), "uint64")
    for column in columns:
        total = (total ^ _hashed(column)) * _ODD
        total ^= total >> np.uint64(29)
    found: Mask = pd.Series(total).duplicated().to_numpy()
    return found


def _hashed(values: Values) -> Array:
    hashed = _hashed_data(values.data)
    return np.where(values.null, np.uint64(0), hashed) if values.null.any() else hashed


def _hashed_data(data: Array) -> Array:
    if data.dtype == "V16":
        halves = np.ascontiguousarray(data).view("u8").reshape(-1, 2)
        mixed: Array = pd.util.hash_array(halves[:, 0] * _ODD ^ halves[:, 1])
        return mixed
    if data.dtype.kind in "mM":
        data = data.view("int64")
    if data.dtype.kind == "f":
        data = data + 0.0  # -0.0 is 0.0
    if data.dtype == object and not are_texts(data):
        data = objects(list(map(str, data)))  # lists; what lies below NULLs
    found: Array = pd.util.hash_array(data, categorize=False)
    return found
