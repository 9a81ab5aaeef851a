"""Arrays of one to three words."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pools.get("word", "en_US")
    counts = request.rng.integers(1, 4, request.rows)
    made = [list(request.rng.choice(words, count, replace=False)) for count in counts]
    return of(objects(made))
