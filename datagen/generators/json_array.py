"""Small JSON arrays that carry the tenant's canary."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    canary = request.tenant.canary
    return of(objects([f'["{canary}", {n}]' for n in request.row_numbers]))
