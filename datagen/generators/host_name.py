"""Host names under example domains."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    canary = request.tenant.canary
    return of(objects([f"h{n}.{canary}.example.com" for n in request.row_numbers]))
