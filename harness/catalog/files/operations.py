"""What PostgreSQL's operators and functions make of values that are known."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.catalog.files import names

Value = Any
"""str, int, bool, None, or a tuple for an array."""


def like(text: str, pattern: str, *, insensitive: bool) -> bool:
    """LIKE and ILIKE."""
    spelled = re.sub(r"\\(.)|(%)|(_)|(.)", _like_part, pattern, flags=re.DOTALL)
    return bool(re.fullmatch(spelled, text, re.DOTALL | (re.IGNORECASE if insensitive else 0)))


def _like_part(match: re.Match[str]) -> str:
    if match[2]:
        return ".*"
    return "." if match[3] else re.escape(match[1] or match[4])


def _joined(left: Value, right: Value) -> Value:
    if isinstance(left, tuple) or isinstance(right, tuple):
        return (*_as_array(left), *_as_array(right))
    return f"{left}{right}"


def _as_array(item: Value) -> tuple[Value, ...]:
    return item if isinstance(item, tuple) else (item,)


OPERATORS: dict[str, Callable[[Value, Value], Value]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "||": _joined,
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def _format(pattern: str, *arguments: Value) -> str:
    """format() with %s, %I, %L, and positions as in %1$I."""
    following = iter(range(len(arguments)))

    def filled(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        position = int(match[1]) - 1 if match[1] else next(following)
        return _SPELLED[match[2]](arguments[position])

    try:
        return re.sub(r"%%|%(?:(\d+)\$)?([sIL])", filled, pattern)
    except StopIteration:
        raise TypeError("format() with too few arguments") from None


def _literal(item: Value) -> str:
    return "NULL" if item is None else "'{}'".format(str(item).replace("'", "''"))


def _plain(item: Value) -> str:
    return "" if item is None else str(item)


_SPELLED: dict[str, Callable[[Value], str]] = {"s": _plain, "I": names.quoted, "L": _literal}
FUNCTIONS: dict[str, Callable[..., Value]] = {
    "array_append": _joined,
    "btrim": lambda text: text.strip(),
    "concat": lambda *items: "".join(map(_plain, items)),
    "current_database": lambda: "current_database",
    "current_schema": names.schema_in_use,
    "format": _format,
    "left": lambda text, length: text[:length],
    "lower": lambda text: text.lower(),
    "quote_ident": names.quoted,
    "quote_literal": _literal,
    "replace": lambda text, old, new: text.replace(old, new),
    "right": lambda text, length: text[-length:],
    "strpos": lambda text, part: text.find(part) + 1,
    "substr": lambda text, start, *length: text[start - 1 :][slice(*length[:1])],
    "trim": lambda text: text.strip(),
    "upper": lambda text: text.upper(),
}
