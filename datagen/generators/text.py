"""Short texts that carry the tenant's canary."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pick(request.pools.get("catch_phrase", "en_US"))
    canary, numbers = request.tenant.canary, request.row_numbers
    made = [f"{w} {canary} {n}" for w, n in zip(words, numbers, strict=True)]
    longest = request.length
    return of(objects([text[-longest:] if longest else text for text in made]))
