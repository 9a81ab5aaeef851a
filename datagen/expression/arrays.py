"""Functions of arrays, whose values are lists; one dimension."""

from __future__ import annotations

from typing import Any

from datagen.expression.columnwise import Function, lenient, strict
from datagen.expression.types import as_text


def _length(array: list[Any], dimension: int) -> int | None:
    return len(array) or None if dimension == 1 else None


def _position(array: list[Any] | None, element: Any) -> int | None:
    return array.index(element) + 1 if array is not None and element in array else None


def _append(array: list[Any] | None, element: Any) -> list[Any]:
    return [*(array or []), element]


def _remove(array: list[Any] | None, element: Any) -> list[Any] | None:
    return None if array is None else [item for item in array if item != element]


def _joined(array: list[Any], separator: str) -> str:
    return separator.join(as_text(item) for item in array if item is not None)


FUNCTIONS: dict[str, Function] = {
    "cardinality": strict(len, "int64"),
    "array_length": strict(_length, "int64"),
    "array_upper": strict(_length, "int64"),
    "array_position": lenient(_position),
    "array_append": lenient(_append),
    "array_remove": lenient(_remove),
    "array_to_string": strict(_joined),
    "string_to_array": strict(lambda text, separator: text.split(separator) if text else []),
}
