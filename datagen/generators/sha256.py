"""Hashes of 32 bytes, one per row."""

from __future__ import annotations

import hashlib

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    salt = f"{request.tenant.canary} {request.name} {request.rng.integers(0, 2**62)} "
    digests = [hashlib.sha256(f"{salt}{n}".encode()).digest() for n in request.row_numbers]
    return of(objects(digests))
