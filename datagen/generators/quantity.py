"""Whole quantities, most of them small."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 1_000)
    drawn = np.rint(request.rng.lognormal(1.5, 1.0, request.rows))
    return of(np.clip(drawn, low, high))
