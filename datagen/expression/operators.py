"""Binary operators on columns; NULL where a side is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from datagen.expression import documents, patterns, spans
from datagen.expression.columnwise import as_floats, null_of, strict
from datagen.expression.spans import CALENDAR, DAY
from datagen.expression.types import as_text, cast
from datagen.expression.unknown import UnknownExpression
from datagen.values import Array, Values, nulls, objects

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def apply_operator(name: str, left: Values, right: Values) -> Values:
    """`left name right`. UnknownExpression where the operator is not supported."""
    name = "<>" if name == "!=" else name
    if left.null.all() or right.null.all():
        return nulls(len(left))
    if name in COMPARISONS:
        return _compare(name, left, right)
    if name in _ARITHMETIC:
        with np.errstate(all="ignore"):
            data = _ARITHMETIC[name](_operand(left), _operand(right))
        return Values(data, null_of((left, right)))
    if name in _SINGLE:
        return _SINGLE[name](left, right)
    raise UnknownExpression(f"operator {name} is not supported")


def negative(value: Values) -> Values:
    """`-value`."""
    if value.data.dtype == CALENDAR:
        return Values(spans.scaled(value.data, np.array([-1])), value.null)
    return Values(-_operand(value), value.null)


def _compare(name: str, left: Values, right: Values) -> Values:
    null = null_of((left, right))
    a, b = _comparable(left, right)
    if a.dtype == object or b.dtype == object:
        data, known = np.zeros(len(null), bool), ~null
        data[known] = COMPARISONS[name](a[known], b[known])
    elif a.dtype.kind == "f" or b.dtype.kind == "f":
        data = _compare_decimals(name, a, b)
    else:
        data = COMPARISONS[name](a, b)
    return Values(data, null)


def _compare_decimals(name: str, a: Array, b: Array) -> Any:
    """Binary fractions stand for decimals here: 0.1 + 0.2 is 0.3."""
    with np.errstate(all="ignore"):
        same = (a == b) | (np.abs(a - b) <= 1e-9 + 1e-13 * np.abs(b))
        if name in ("<", ">", "<>"):
            return COMPARISONS[name](a, b) & ~same
        return same if name == "=" else COMPARISONS[name](a, b) | same


def _comparable(left: Values, right: Values) -> tuple[Array, Array]:
    """Data of both sides in a type that orders as PostgreSQL does."""
    left, right = _like(left, right), _like(right, left)
    a, b = left.data, right.data
    if a.dtype == "V16":
        return _bytewise(a), _bytewise(b)
    if "m" in a.dtype.kind + b.dtype.kind or CALENDAR in (a.dtype, b.dtype):
        return _micros(a), _micros(b)
    if {a.dtype.kind, b.dtype.kind} & {"i", "f"} and object in (a.dtype, b.dtype):
        return as_floats(left), as_floats(right)
    return a, b


def _like(value: Values, other: Values) -> Values:
    """A text beside a value of another type is that value's literal."""
    name = _LITERALS.get("V16" if other.data.dtype == "V16" else other.data.dtype.kind)
    return cast(value, name) if value.data.dtype == object and name else value


def _bytewise(ids: Array) -> Array:
    return np.ascontiguousarray(ids).view("S16")


def _micros(data: Array) -> Array:
    return data if data.dtype.kind == "i" else spans.comparable(data)


def _operand(value: Values) -> Array:
    """Data that arithmetic can be done with; texts only where they are numbers."""
    return as_floats(value) if value.data.dtype == object else value.data


def _add(a: Array, b: Array) -> Any:
    if b.dtype.kind == "M" or (b.dtype.kind == "i" and a.dtype.kind == "m"):
        a, b = b, a
    if CALENDAR in (a.dtype, b.dtype):
        return _add_calendar(a, b, 1)
    if a.dtype == "datetime64[D]" and b.dtype.kind == "i":
        return a + b.astype("timedelta64[D]")
    if a.dtype.kind == "i" and b.dtype.kind == "m":
        return (a + _micros(b)) % DAY
    return a + b


def _subtract(a: Array, b: Array) -> Any:
    if CALENDAR in (a.dtype, b.dtype):
        return _add_calendar(a, b, -1)
    if a.dtype == b.dtype == "datetime64[D]":
        return (a - b).astype("int64")
    if a.dtype == "datetime64[D]" and b.dtype.kind == "i":
        return a - b.astype("timedelta64[D]")
    if a.dtype.kind == "i" and b.dtype.kind == "m":
        return (a - _micros(b)) % DAY
    return a - b


def _add_calendar(a: Array, b: Array, sign: int) -> Array:
    if a.dtype.kind == "M":
        return spans.shifted(a, b, sign)
    (m, n), (u, v) = (_months(a), _months(b)), (_rest(a), _rest(b))
    return spans.of_months(m + sign * n, u + sign * v)


def _months(span: Array) -> Array:
    return span["months"] if span.dtype == CALENDAR else np.zeros(len(span), "int64")


def _rest(span: Array) -> Array:
    return span["micros"] if span.dtype == CALENDAR else _micros(span)


def _multiply(a: Array, b: Array) -> Any:
    if CALENDAR in (a.dtype, b.dtype):
        return spans.scaled(a, b) if a.dtype == CALENDAR else spans.scaled(b, a)
    return a * b


def _divide(a: Array, b: Array) -> Any:
    """Whole numbers are cut towards zero. A division by zero, which PostgreSQL refuses, is NaN:
    no comparison with it holds."""
    if a.dtype.kind not in "if" or b.dtype.kind not in "if":
        return a / b
    zero = b == 0
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.where(zero, np.nan, a / b)
    cut = (a - np.fmod(a, b)) // np.where(zero, 1, b)
    return np.where(zero, np.nan, cut) if zero.any() else cut


def _remainder(a: Array, b: Array) -> Any:
    """Has the sign of the dividend."""
    return np.fmod(a, b) if (b != 0).all() else np.fmod(a, np.where(b == 0, np.nan, b))


def _matches(found: bool, compile_pattern: Callable[..., Any], ignore_case: bool = False) -> Any:
    def matches(text: Any, pattern: str) -> bool:
        return (compile_pattern(pattern, ignore_case).search(str(text)) is not None) is found

    return strict(matches, bool)


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(whole, str):
        return documents.contains(documents.read(whole), documents.read(part))
    return set(part) <= set(whole)


def _concatenated(a: Any, b: Any) -> Any:
    if isinstance(a, list) or isinstance(b, list):
        return [*_listed(a), *_listed(b)]
    return as_text(a) + as_text(b)


def _concatenation(a: Values, b: Values) -> Values:
    """Texts by the column where both are; anything else one by one."""
    null = null_of((a, b))
    known = np.flatnonzero(~null)
    left, right = _texts(a.data[known]), _texts(b.data[known])
    data = np.empty(len(null), object)
    try:
        if not all(isinstance(item, str) for item in (*left[:1], *right[:1])):
            raise TypeError
        data[known] = left + right
    except TypeError:
        return strict(_concatenated)(a, b)
    return Values(data, null)


def _texts(data: Array) -> Array:
    """What is not an object as PostgreSQL prints it; objects as they are."""
    if data.dtype == object:
        return data
    return objects(list(map(str if data.dtype.kind in "iu" else as_text, data.tolist())))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_LITERALS = {"M": "timestamptz", "m": "interval", "b": "bool", "V16": "uuid"}
_ARITHMETIC: dict[str, Callable[[Array, Array], Any]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _remainder,
}
_SINGLE: dict[str, Callable[[Values, Values], Values]] = {
    "~": _matches(True, patterns.posix),
    "~*": _matches(True, patterns.posix, ignore_case=True),
    "!~": _matches(False, patterns.posix),
    "!~*": _matches(False, patterns.posix, ignore_case=True),
    "~~": _matches(True, patterns.like),
    "~~*": _matches(True, patterns.like, ignore_case=True),
    "!~~": _matches(False, patterns.like),
    "!~~*": _matches(False, patterns.like, ignore_case=True),
    "^@": strict(lambda text, start: text.startswith(start), bool),
    "||": _concatenation,
    "@>": strict(_contains, bool),
    "<@": strict(lambda part, whole: _contains(whole, part), bool),
    "&&": strict(lambda a, b: not set(a).isdisjoint(b), bool),
    **documents.OPERATORS,
}
