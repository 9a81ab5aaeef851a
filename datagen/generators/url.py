"""Addresses of pages under example domains."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("(^|_)url($|_)",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pick(request.pools.get("word", "en_US"))
    numbers = request.row_numbers
    host = f"https://{request.tenant.canary}.example.com"
    return of(objects([f"{host}/{w}/{n}" for w, n in zip(words, numbers, strict=True)]))
