"""Telephone numbers in E.164 form, from ranges kept for fiction (+1 555 01xx …)."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, objects, of

PATTERNS = ("(^|_)phone($|_)",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    low = request.rng.integers(2_000_000, 9_999_999, request.rows)
    unique = 2_000_000 + request.row_numbers % 8_000_000
    numbers = unique if request.unique else low
    return of(objects([f"+1555{number}" for number in numbers]))
