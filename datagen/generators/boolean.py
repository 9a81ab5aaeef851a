"""True for one in three."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return of(request.rng.random(request.rows) < 1 / 3)
