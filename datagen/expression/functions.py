"""Functions that expressions may call, by name: from columns to a column."""

from __future__ import annotations

from datagen.expression import arrays, documents, moments, numbers, texts
from datagen.expression.columnwise import Function

FUNCTIONS: dict[str, Function] = {
    **texts.FUNCTIONS,
    **numbers.FUNCTIONS,
    **moments.FUNCTIONS,
    **arrays.FUNCTIONS,
    **documents.FUNCTIONS,
}
