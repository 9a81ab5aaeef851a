"""JSON: operators and functions of json and jsonb, whose values are their text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from datagen.expression.columnwise import Function, strict
from datagen.values import Values


def read(text: Any) -> Any:
    """What a document says; ValueError where it is none."""
    return json.loads(text)


def canonical(value: Values) -> Values:
    """Documents in a form in which equal ones are equal texts."""
    made = strict(lambda text: json.dumps(json.loads(text, parse_int=float), sort_keys=True))
    return made(value)


def contains(whole: Any, part: Any) -> bool:
    """`whole @> part`: each member and element of `part` is in `whole`, at any depth."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(whole, list) and isinstance(part, list):
        return all(any(_holds(element, wanted) for element in whole) for wanted in part)
    if isinstance(whole, list):
        return any(_same(element, part) for element in whole)
    return _same(whole, part)


def _holds(element: Any, wanted: Any) -> bool:
    if isinstance(element, dict | list):
        return type(element) is type(wanted) and contains(element, wanted)
    return _same(element, wanted)


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)


def _member(document: Any, key: Any) -> tuple[Any, ...]:
    """The one member of a key or index, or none; a scalar is its own only element."""
    if isinstance(key, int) and not isinstance(document, dict | list):
        document = [document]
    if isinstance(document, dict) and isinstance(key, str):
        return (document[key],) if key in document else ()
    if isinstance(document, list) and isinstance(key, int):
        return (document[key],) if -len(document) <= key < len(document) else ()
    return ()


def _at_path(document: Any, path: list[str]) -> tuple[Any, ...]:
    for step in path:
        numbered = isinstance(document, list) and step.lstrip("-").isdigit()
        found = _member(document, int(step) if numbered else step)
        if not found:
            return ()
        (document,) = found
    return (document,)


def _as_json(found: tuple[Any, ...]) -> str | None:
    return json.dumps(found[0]) if found else None


def _as_text(found: tuple[Any, ...]) -> str | None:
    value = found[0] if found else None
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _path(text: Any) -> list[str]:
    return text if isinstance(text, list) else text.strip("{}").split(",")


def _has(text: Any, key: str) -> bool:
    document = read(text)
    return key in document if isinstance(document, dict | list) else document == key


def _kind(text: Any) -> str:
    value = read(text)
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _length(text: Any) -> int | None:
    """NULL for what is no array, which PostgreSQL refuses."""
    document = read(text)
    return len(document) if isinstance(document, list) else None


OPERATORS: dict[str, Callable[[Values, Values], Values]] = {
    "->": strict(lambda text, key: _as_json(_member(read(text), key))),
    "->>": strict(lambda text, key: _as_text(_member(read(text), key))),
    "#>": strict(lambda text, path: _as_json(_at_path(read(text), _path(path)))),
    "#>>": strict(lambda text, path: _as_text(_at_path(read(text), _path(path)))),
    "?": strict(_has, bool),
    "?|": strict(lambda text, keys: any(_has(text, key) for key in keys), bool),
    "?&": strict(lambda text, keys: all(_has(text, key) for key in keys), bool),
}
FUNCTIONS: dict[str, Function] = {
    "jsonb_typeof": strict(_kind),
    "json_typeof": strict(_kind),
    "jsonb_array_length": strict(_length, np.int64),
    "json_array_length": strict(_length, np.int64),
    "jsonb_exists": OPERATORS["?"],
}
