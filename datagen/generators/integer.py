"""Integers: small counts, or distinct ones."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 100)
    if request.unique:
        return of((int(low) + request.row_numbers).astype("int64"))
    return of(request.rng.integers(int(low), int(high) + 1, request.rows))
