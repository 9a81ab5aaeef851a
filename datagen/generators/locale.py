"""Language tags: the tenant's, and English."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("(^|_)locale$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    own = request.tenant.locale.replace("_", "-")
    pool = np.array([own] * 8 + ["en-US", "es-US"], object)
    return of(request.pick(pool))
