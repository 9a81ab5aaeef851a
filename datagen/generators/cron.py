"""Schedules: every quarter of an hour to once a month."""

from __future__ import annotations

import numpy as np

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("cron$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    kinds = ["*/15 * * * *", "0 * * * *", "30 2 * * *", "0 6 * * 1", "0 4 1 * *"]
    return of(request.pick(np.array(kinds, object)))
