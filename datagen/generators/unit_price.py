"""Prices of one unit, to the cent."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 500)
    drawn = request.rng.lognormal(1.5, 1.2, request.rows)
    return of(np.round(np.clip(drawn, low, high), 2))
