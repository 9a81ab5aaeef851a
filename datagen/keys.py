"""Keys as a function of seed, tenant, table and row: time-ordered UUIDs, made column-wise."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import numpy as np

from datagen.part import Part
from datagen.values import Array

WINDOW = timedelta(days=395)
"""Keys, like most data, lie between `as_of` minus this and `as_of`."""


def uuid7(
    seed: int,
    tenant: int,
    table: str,
    rows: Array,
    of: int,
    as_of: datetime,
    part: Part = Part(),  # noqa: B008 - frozen
) -> Array:
    """UUIDs (V16) of rows `rows` out of the `of` of a part, rising with the row number.

    The 48 bits of time spread the rows evenly over the cohort's slice of the window; the rest is
    the row number and a hash of the table, so that no two tables and rows of a tenant share a key.
    """
    end = int(as_of.timestamp() * 1000)
    start = end - int(WINDOW.total_seconds() * 1000)
    step = (end - start) / max(of, 1) / part.cohort.of
    start_of_part = start + (end - start) * part.cohort.index / part.cohort.of
    milliseconds = (start_of_part + rows * step).astype("uint64")
    mark = hashlib.sha256(f"{seed} {tenant} {table}".encode()).digest()
    data = np.zeros((len(rows), 16), "uint8")
    for byte in range(6):
        data[:, byte] = (milliseconds >> np.uint64(8 * (5 - byte))) & np.uint64(0xFF)
    data[:, 6] = 0x70 | (mark[0] & 0x0F)
    data[:, 7] = mark[1]
    data[:, 8] = 0x80 | (mark[2] & 0x3F)
    data[:, 9:12] = np.frombuffer(mark[3:6], "uint8")
    numbers = (part.first + rows).astype("uint64")
    for byte in range(4):
        data[:, 12 + byte] = (numbers >> np.uint64(8 * (3 - byte))) & np.uint64(0xFF)
    return np.ascontiguousarray(data).view("V16").ravel()


def generator(seed: int, tenant: int, *names: object, cohort: int = 0) -> np.random.Generator:
    """A random generator of its own for each tenant, cohort, table, column and purpose."""
    later = (f"cohort {cohort}",) if cohort else ()
    text = " ".join(str(name) for name in (seed, tenant, *names, *later))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))
