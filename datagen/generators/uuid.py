"""Identifiers of things that no foreign key names."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    data = request.rng.integers(0, 256, (request.rows, 16), "uint8")
    data[:, 6] = 0x70 | (data[:, 6] & 0x0F)
    data[:, 8] = 0x80 | (data[:, 8] & 0x3F)
    return of(np.ascontiguousarray(data).view("V16").ravel())
