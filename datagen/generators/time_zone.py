"""The tenant's time zone."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, constant

PATTERNS = ("(^|_)time_zone$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return constant(request.tenant.time_zone, request.rows)
