"""SQL's three-valued logic over columns."""

from __future__ import annotations

import numpy as np

from datagen.values import Values


def truth(value: Values) -> Values:
    """As booleans; whatever stands under a NULL counts as false."""
    if value.data.dtype == bool:
        return value
    return Values(np.where(value.null, False, value.data).astype(bool), value.null)


def negation(value: Values) -> Values:
    """NOT."""
    value = truth(value)
    return Values(~value.data, value.null)


def conjunction(*parts: Values) -> Values:
    """AND: false where one part is, else NULL where one is."""
    return _decide(parts, deciding=False)


def disjunction(*parts: Values) -> Values:
    """OR: true where one part is, else NULL where one is."""
    return _decide(parts, deciding=True)


def _decide(parts: tuple[Values, ...], deciding: bool) -> Values:
    rows = len(parts[0])
    decided, unknown = np.zeros(rows, bool), np.zeros(rows, bool)
    for part in map(truth, parts):
        decided |= ~part.null & (part.data == deciding)
        unknown |= part.null
    return Values(decided if deciding else ~decided, unknown & ~decided)
