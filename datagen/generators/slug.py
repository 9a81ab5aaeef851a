"""Short names in URLs."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("(^|_)slug$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pick(request.pools.get("word", "en_US"))
    canary = request.tenant.canary
    made = [f"{w.lower()}-{canary}-{n}" for w, n in zip(words, request.row_numbers, strict=True)]
    return of(objects(made))
