"""E-mail addresses under example domains, which nobody owns."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("(^|_)e?mail($|_address$)",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    first = request.pick(request.pools.get("first_name", "en_US"))
    last = request.pick(request.pools.get("last_name", "en_US"))
    canary, numbers = request.tenant.canary, request.row_numbers
    parts = zip(first, last, numbers, strict=True)
    made = [f"{f}.{s}.{n}@{canary}.example.com".lower().replace(" ", "") for f, s, n in parts]
    return of(objects(made))
