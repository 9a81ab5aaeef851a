"""Short stable identifiers."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("_(code|key|reference|ref|number)$", "^(code|username)$")


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pick(request.pools.get("word", "en_US"))
    made = [f"{w.lower()}_{n}" for w, n in zip(words, request.row_numbers, strict=True)]
    return of(objects(made))
