"""States and provinces."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    pool = np.array(["CA", "TX", "NY", "IL", "WA", "BE", "BY", "ON", "MA", "OH"], object)
    return of(request.pick(pool))
