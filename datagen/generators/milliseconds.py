"""Durations in milliseconds: log-normal around 40."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 60_000)
    drawn = request.rng.lognormal(3.7, 0.9, request.rows)
    return of(np.round(np.clip(drawn, low, high), 3))
