"""Paths into a vault; never a secret."""

from __future__ import annotations

import re

from datagen.request import Request
from datagen.values import Values, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    canary = request.tenant.canary
    name = re.sub("[^a-z0-9_]", "_", request.name)
    return of(objects([f"vault:{canary}/{name}/{n}" for n in request.row_numbers]))
