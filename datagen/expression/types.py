"""Types of expressions: literals from text, and casts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np

from datagen.expression.columnwise import strict
from datagen.expression.spans import DAY, calendar
from datagen.values import Array, Values

_WHOLE = {"int2", "int4", "int8", "smallint", "integer", "bigint"}
_REAL = {"numeric", "float8", "float4", "decimal", "money"}
NUMBERS = _WHOLE | _REAL
_TEXTS = {"text", "varchar", "bpchar", "citext", "name"}
_MOMENTS = {"timestamptz", "timestamp"}
_TRUE, _FALSE = {"t", "true", "on", "yes", "y", "1"}, {"f", "false", "off", "no", "n", "0"}
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}]+)')


def from_text(text: str, type_name: str) -> Any:
    """A literal's value as the numpy scalar or object that columns of the type hold."""
    read = _READERS.get(type_name)
    return read(text.strip()) if read else text


def array_from_text(text: str, type_name: str) -> list[Any]:
    """The elements of a literal such as `{a,"b c",NULL}`; one dimension."""
    if not (text.startswith("{") and text.endswith("}")) or "{" in text[1:]:
        raise ValueError(f"{text} is not a simple array")
    return [
        from_text(re.sub(r"\\(.)", r"\1", quoted), type_name)
        if not bare
        else None
        if bare.strip().upper() == "NULL"
        else from_text(bare.strip(), type_name)
        for quoted, bare in _ELEMENT.findall(text)
    ]


def cast(value: Values, type_name: str) -> Values:
    """A column as another type; where nothing has to change it is returned as it is."""
    if value.null.all():
        return value
    kind = value.data.dtype.kind
    if type_name in _TEXTS:
        return value if _is_text(value) else strict(as_text)(value)
    if kind == "O" and _is_text(value) and type_name in _READERS:
        return _read(value, type_name)
    if type_name in NUMBERS and kind in "bif":
        return Values(_number(value.data, type_name in _WHOLE), value.null)
    if type_name in ("bool", "boolean") and kind == "i":
        return Values(value.data != 0, value.null)
    if type_name == "date" and kind == "M":
        return Values(value.data.astype("datetime64[D]"), value.null)
    if type_name in _MOMENTS and kind == "M":
        return Values(value.data.astype("datetime64[us]"), value.null)
    if type_name == "time" and kind == "M":
        return Values(value.data.astype("datetime64[us]").astype("int64") % DAY, value.null)
    if type_name == "interval" and kind == "i":
        return Values(value.data.astype("timedelta64[us]"), value.null)
    return value


def as_text(item: Any) -> str:
    """A single value as PostgreSQL prints it; decimals without zeros at the end."""
    if isinstance(item, str):  # most are
        return item
    match item:
        case bool():
            return "true" if item else "false"
        case float():
            return f"{item:.15g}"
        case datetime():
            text = item.isoformat(" ")
            return (text.rstrip("0") if item.microsecond else text) + "+00"
        case dict() | list():
            return json.dumps(item)
        case bytes() if len(item) == 16:
            return str(UUID(bytes=item))
        case bytes():
            return "\\x" + item.hex()
    return str(item)


def _is_text(value: Values) -> bool:
    known = value.data[~value.null][:1]
    return value.data.dtype == object and all(isinstance(item, str) for item in known)


def _read(value: Values, type_name: str) -> Values:
    """Texts as another type; a text that is none raises ValueError."""
    known = np.flatnonzero(~value.null)
    items = [from_text(text, type_name) for text in value.data[known].tolist()]
    data = np.zeros(len(value), np.array(items[:1]).dtype if type_name != "bytea" else object)
    data[known] = items
    return Values(data, value.null)


def _number(data: Array, whole: bool) -> Array:
    """Whole numbers round half away from zero, as numeric does."""
    if not whole:
        return data.astype(float)
    if data.dtype.kind == "f":
        data = np.sign(data) * np.floor(np.abs(data) + 0.5)
    return data.astype("int64")


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{text} is no boolean")
    return text.lower() in _TRUE


def _moment(text: str) -> Any:
    moment = datetime.fromisoformat(text)
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return np.datetime64(utc.replace(tzinfo=None), "us")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("\\x") else text.encode()


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_WHOLE, int),
    **dict.fromkeys(_REAL, float),
    **dict.fromkeys(_MOMENTS, _moment),
    "bool": _boolean,
    "boolean": _boolean,
    "date": lambda text: np.datetime64(text[:10], "D"),
    "interval": calendar,
    "time": lambda text: int(calendar(text) / np.timedelta64(1, "us")),
    "uuid": lambda text: np.void(UUID(text).bytes),
    "bytea": _bytes,
}
