"""Amounts: log-normal, most of them small, a few large."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 5_000)
    drawn = request.rng.lognormal(4.0, 1.1, request.rows)
    return of(np.round(np.clip(drawn, low, high), 2))
