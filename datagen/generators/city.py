"""Towns of the tenant's country."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("(^|_)(city|county)$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return of(request.pick(request.pools.get("city", request.tenant.locale)))
