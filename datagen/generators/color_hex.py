"""Colors of labels."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    kinds = ["#d73a4a", "#0075ca", "#a2eeef", "#7057ff", "#008672", "#e4e669", "#cfd3d7"]
    return of(request.pick(np.array(kinds, object)))
