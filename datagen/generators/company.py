"""Names of companies."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("(legal_name|company|vendor_name|competitor_name|billing_name)$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    names = request.pick(request.pools.get("company", request.tenant.locale))
    return of(names + f" {request.tenant.canary}")
