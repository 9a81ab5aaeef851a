"""Spans from a minute to a day."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    seconds = request.rng.integers(60, 86_400, request.rows)
    return of((seconds * 1_000_000).astype("timedelta64[us]"))
