"""What browsers call themselves."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("user_agent$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return of(request.pick(request.pools.get("user_agent", "en_US")))
