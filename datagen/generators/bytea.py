"""Bytes: hashes, for that is what such columns mostly hold."""

from __future__ import annotations

from datagen.generators import sha256
from datagen.request import Request
from datagen.values import Values


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return sha256.generate(request)
