"""Floating point numbers."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 1_000)
    return of(np.round(request.rng.uniform(low, high, request.rows), 4))
