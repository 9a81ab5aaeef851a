"""Street and number."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("^line1$|street",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    streets = request.pick(request.pools.get("street_name", request.tenant.locale))
    return of(objects([f"{n + 1} {s}" for s, n in zip(streets, request.row_numbers, strict=True)]))
