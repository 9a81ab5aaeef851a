"""Texts of columns that have to match a regular expression."""

from __future__ import annotations

from random import Random

import numpy as np

from datagen.expression import UnknownExpression
from datagen.expression.patterns import posix
from datagen.expression.sampling import sample
from datagen.request import Request
from datagen.values import Values, objects

_ENOUGH = 0.9
"""Share of generated texts that match from which on they are kept."""
_TRIES = 20


def matching(made: Values, pattern: str, request: Request) -> Values:
    """The values, or where they hardly match the pattern others that do."""
    if made.data.dtype != object:
        return made
    try:
        compiled = posix(pattern)
    except UnknownExpression:
        return made
    fits = [isinstance(text, str) and compiled.search(text) is not None for text in made.data]
    random = Random(int(request.rng.integers(2**62)))  # noqa: S311 - data, not secrets
    keep = np.mean(fits) >= _ENOUGH if fits else True
    return Values(
        objects(
            [
                text if fit and keep else _sampled(pattern, random) or text
                for text, fit in zip(made.data.tolist(), fits, strict=True)
            ]
        ),
        made.null,
    )


def _sampled(pattern: str, random: Random) -> str | None:
    """A text that matches, anchors and assertions included; None where none was found."""
    compiled = posix(pattern)
    for _ in range(_TRIES):
        text = sample(pattern, random)
        if compiled.search(text):
            return text
    return None
