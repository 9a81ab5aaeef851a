"""Types of expressions: literals from text, casts, and operands made comparable."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from datagen.expression.unknown import UnknownExpression
from datagen.values import Values, objects

NUMBERS = {"numeric", "float8", "float4", "int8", "int4", "int2", "integer", "bigint", "money"}
_TEXTS = {"text", "varchar", "bpchar", "citext", "name"}
_UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "sec": 1_000_000,
    "minute": 60_000_000,
    "min": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
    "month": 2_592_000_000_000,
    "mon": 2_592_000_000_000,
    "year": 31_557_600_000_000,
}
_PART = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*([a-z]+?)s?(?=[\s\d]|$)")
_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?$")


def from_text(text: str, type_name: str) -> Any:
    """A literal's value as the numpy scalar or object that columns of the type hold."""
    if type_name in NUMBERS:
        return float(text) if type_name in ("numeric", "float8", "float4") else int(text)
    if type_name in ("bool", "boolean"):
        return text.lower() in ("t", "true", "on", "yes", "1")
    if type_name == "date":
        return np.datetime64(text[:10], "D")
    if type_name in ("timestamptz", "timestamp"):
        moment = datetime.fromisoformat(text)
        utc = moment.astimezone(UTC) if moment.tzinfo else moment
        return np.datetime64(utc.replace(tzinfo=None), "us")
    if type_name == "interval":
        return interval(text)
    if type_name == "time":
        return int(interval(text) / np.timedelta64(1, "us"))
    return text


def interval(text: str) -> Any:
    """An interval; a month counts 30 days, a year 365.25."""
    clock = _CLOCK.search(text)
    micros = 0.0
    if clock:
        hours, minutes, seconds = clock.groups(default="0")
        micros += (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1_000_000
        text = text[: clock.start()]
    for number, unit in _PART.findall(text.lower()):
        if unit not in _UNITS:
            raise UnknownExpression(f"interval unit {unit} is not known")
        micros += float(number) * _UNITS[unit]
    return np.timedelta64(round(micros), "us")


def cast(value: Values, type_name: str) -> Values:
    """A column as another type; where nothing has to change it is returned as it is."""
    kind = value.data.dtype.kind
    if type_name in _TEXTS:
        return value if kind == "O" else _map(value, _as_text)
    if type_name in NUMBERS and kind in "if":
        whole = type_name not in ("numeric", "float8", "float4")
        return Values(np.rint(value.data).astype("int64") if whole else value.data, value.null)
    if type_name in NUMBERS and kind == "O":
        number = float if type_name in ("numeric", "float8", "float4") else int
        return Values(_numbers(value, number), value.null)
    if type_name == "date" and kind == "M":
        return Values(value.data.astype("datetime64[D]"), value.null)
    if type_name in ("timestamptz", "timestamp") and kind == "M":
        return Values(value.data.astype("datetime64[us]"), value.null)
    return value


def comparable(left: Values, right: Values) -> tuple[Any, Any]:
    """Data of both sides in a common type."""
    a, b = left.data, right.data
    if {a.dtype.kind, b.dtype.kind} == {"M"}:
        return a.astype("datetime64[us]"), b.astype("datetime64[us]")
    if a.dtype.kind == "O" and b.dtype.kind in "if":
        return _numbers(left, float), b
    if b.dtype.kind == "O" and a.dtype.kind in "if":
        return a, _numbers(right, float)
    return a, b


def _numbers(value: Values, number: Any) -> Any:
    try:
        items = [0 if n else number(v) for v, n in zip(value.data, value.null, strict=True)]
    except (TypeError, ValueError):
        raise UnknownExpression("text is compared with a number") from None
    return np.array(items)


def _map(value: Values, function: Any) -> Values:
    return Values(objects([function(item) for item in value.data]), value.null)


def _as_text(item: Any) -> str:
    if isinstance(item, bool | np.bool_):
        return "true" if item else "false"
    if isinstance(item, dict | list):
        return json.dumps(item)
    return f"{item:g}" if isinstance(item, float) else str(item)
