"""Media types of the files that businesses keep."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("media_type$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    kinds = ["image/jpeg"] * 5 + ["application/pdf"] * 3 + ["image/png", "text/csv", "video/mp4"]
    return of(request.pick(np.array(kinds, object)))
