"""Quarters of an hour between 7 and 20 o'clock, in microseconds."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return of(request.rng.integers(28, 80, request.rows) * 900_000_000)
