"""Longitudes of inhabited places."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return of(np.round(request.rng.uniform(-120, 15, request.rows), 6))
