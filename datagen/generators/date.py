"""Days in the window of the data."""

from __future__ import annotations

from datagen.generators import timestamptz
from datagen.request import Request
from datagen.values import Values, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    moments = timestamptz.generate(request)
    return of(moments.data.astype("datetime64[D]"))
