"""Addresses from the ranges kept for documentation (RFC 5737)."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    blocks = request.pick(np.array(["192.0.2", "198.51.100", "203.0.113"], object))
    last = request.rng.integers(1, 255, request.rows)
    return of(objects([f"{b}.{n}" for b, n in zip(blocks, last, strict=True)]))
