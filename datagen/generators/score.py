"""Points on a scale."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low, high = request.between(0, 100)
    return of(np.round(request.rng.uniform(low, high, request.rows), 1))
