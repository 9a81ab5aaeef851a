"""Postal codes of five digits."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return of(objects([f"{n:05d}" for n in request.rng.integers(501, 99951, request.rows)]))
