"""Texts composed of columns, column by column: no row is formatted on its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from string import Formatter
from typing import Any

import numpy as np

from datagen.values import Array

Columns = Mapping[str, Any]
"""By name one value per row, or a text that stands in all."""


def fields(template: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def formatted(template: str, columns: Columns, rows: int) -> list[str]:
    """What str.format makes of the template for each row."""
    return _joined(_parts(template, columns, rows), rows)


def _parts(template: str, columns: Columns, rows: int) -> Iterator[Iterable[str]]:
    for literal, name, spec, _ in Formatter().parse(template):
        if literal:
            yield repeat(literal, rows)
        if name:
            yield _texts(columns[name], spec or "", rows)


def placeholders(text: str) -> list[str]:
    """The names in angle brackets."""
    return [part.partition(">")[0] for part in text.split("<")[1:] if ">" in part]


def replaced(texts: Sequence[str], which: Array, columns: Columns) -> Array:
    """For each row one of the texts, in which `<name>` stands for the row's value of a column."""
    made = np.empty(len(which), object)
    for number, text in enumerate(texts):
        rows = np.flatnonzero(which == number)
        chosen = {n: _taken(columns[n], rows) for n in placeholders(text) if n in columns}
        made[rows] = _joined(_pieces(text, chosen, len(rows)), len(rows))
    return made


def _taken(column: Any, rows: Array) -> Any:
    return column if isinstance(column, str) else column[rows]


def _pieces(text: str, columns: Columns, rows: int) -> Iterator[Iterable[str]]:
    first, *rest = text.split("<")
    yield repeat(first, rows)
    for part in rest:
        name, closed, literal = part.partition(">")
        if closed and name in columns:
            yield _texts(columns[name], "", rows)
            yield repeat(literal, rows)
        else:
            yield repeat(f"<{part}", rows)


def _texts(column: Any, spec: str, rows: int) -> Iterable[str]:
    """A column's values as texts; moments and keys as numpy writes them."""
    if isinstance(column, str):
        return repeat(format(column, spec), rows)
    items = column.tolist() if column.dtype.kind in "iufbO" else column
    return map(format, items, repeat(spec)) if spec else map(str, items)


def _joined(parts: Iterable[Iterable[str]], rows: int) -> list[str]:
    joined = list(map("".join, zip(*parts, strict=True)))
    return joined or [""] * rows
