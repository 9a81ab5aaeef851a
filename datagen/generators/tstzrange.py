"""Spans of one to four hours in the window of the data."""

from __future__ import annotations

import numpy as np

from datagen.generators import timestamptz
from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    begins = timestamptz.generate(request).data.astype("datetime64[s]")
    hours = request.rng.integers(1, 5, request.rows).astype("timedelta64[h]")
    spans = zip(begins, begins + hours, strict=True)
    return of(objects([f"[{np.datetime64(a)}+00,{np.datetime64(b)}+00)" for a, b in spans]))
