"""Moments in the window of the data, more of them late than early."""

from __future__ import annotations

import numpy as np

from datagen.keys import WINDOW
from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    end = np.datetime64(request.as_of.replace(tzinfo=None), "us")
    share = 1 - request.rng.random(request.rows) ** (
        1 / 1.6
    )  # beta(1, 1.6), at a tenth of its cost
    ago = share * (WINDOW.total_seconds() * 1e6)
    return of(end - ago.astype("timedelta64[us]"))
