"""Names of files."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("file_name$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pick(request.pools.get("word", "en_US"))
    made = [f"{w}-{n}.pdf" for w, n in zip(words, request.row_numbers, strict=True)]
    return of(objects(made))
