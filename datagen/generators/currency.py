"""The tenant's currency, now and then another."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    pool = np.array([request.tenant.currency] * 17 + ["USD", "EUR", "GBP"], object)
    return of(request.pick(pool))
