"""The tenant's country, with a few from elsewhere."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    pool = np.array([request.tenant.country] * 9 + ["CA"], object)
    return of(request.pick(pool))
