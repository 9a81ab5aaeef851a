"""JSON documents: small objects."""

from __future__ import annotations

from datagen.generators import json_object
from datagen.request import Request
from datagen.values import Values


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return json_object.generate(request)
