"""Functions that expressions may call, column by column; NULL where an argument is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from datagen.expression.types import from_text
from datagen.values import Values, of


def _strict(function: Callable[..., Any], dtype: Any = object) -> Callable[..., Values]:
    """A Python function of single values as one of columns."""

    def over_columns(*arguments: Values) -> Values:
        null = np.zeros(len(arguments[0]), bool)
        for argument in arguments:
            null = null | argument.null
        data = np.zeros(len(null), dtype)
        for row in np.flatnonzero(~null):
            result = function(*(argument.data[row] for argument in arguments))
            if result is None:
                null[row] = True
            else:
                data[row] = result
        return Values(data, null)

    return over_columns


def _numeric(function: Callable[..., Any]) -> Callable[..., Values]:
    """A numpy function as one of columns."""

    def over_columns(*arguments: Values) -> Values:
        null = arguments[0].null
        for argument in arguments[1:]:
            null = null | argument.null
        with np.errstate(all="ignore"):
            data = function(*(a.data.astype(float) for a in arguments))
        return Values(data, null)

    return over_columns


def _round(value: Values, *digits: Values) -> Values:
    places = int(digits[0].data[0]) if digits and len(digits[0]) else 0
    # Half away from zero, as numeric does; the nudge undoes binary fractions such as 1.005.
    scaled = value.data.astype(float) * 10**places
    return Values(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5 + 1e-9) / 10**places, value.null)


def _date_trunc(unit: Values, moment: Values) -> Values:
    step = {"day": "D", "month": "M", "year": "Y", "hour": "h", "minute": "m", "second": "s"}
    if len(unit) and unit.data[0] == "week":
        days = moment.data.astype("datetime64[D]")
        monday = days - ((days.astype("int64") + 3) % 7).astype("timedelta64[D]")
        return Values(monday.astype("datetime64[us]"), moment.null)
    code = step.get(unit.data[0] if len(unit) else "day", "D")
    return Values(moment.data.astype(f"datetime64[{code}]").astype("datetime64[us]"), moment.null)


def _extract(field: Values, moment: Values) -> Values:
    name = field.data[0] if len(field) else "year"
    data = moment.data
    if data.dtype.kind == "m":
        return Values(data / np.timedelta64(1, "s"), moment.null)
    years = data.astype("datetime64[Y]").astype("int64") + 1970
    days = data.astype("datetime64[D]")
    found: dict[str, Callable[[], Any]] = {
        "epoch": lambda: data.astype("datetime64[us]").astype("int64") / 1e6,
        "year": lambda: years,
        "month": lambda: data.astype("datetime64[M]").astype("int64") % 12 + 1,
        "day": lambda: (days - data.astype("datetime64[M]")).astype("int64") + 1,
        "dow": lambda: (days.astype("int64") + 4) % 7,
        "isodow": lambda: (days.astype("int64") + 3) % 7 + 1,
        "hour": lambda: (data.astype("datetime64[h]") - days).astype("int64"),
    }
    return Values(np.asarray(found[name]()).astype(float), moment.null)


def _num_nulls(*arguments: Values) -> Values:
    return of(sum(argument.null.astype("int64") for argument in arguments))


def _num_nonnulls(*arguments: Values) -> Values:
    return of(sum((~argument.null).astype("int64") for argument in arguments))


def _document(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


def _json_type(text: Any) -> str:
    value = _document(text)
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _member(text: Any, key: Any) -> Any:
    value = _document(text)
    if isinstance(value, dict):
        return value.get(str(key))
    if isinstance(value, list) and not isinstance(key, str) and -len(value) <= key < len(value):
        return value[int(key)]
    return None


def _member_text(text: Any, key: Any) -> str | None:
    value = _member(text, key)
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _member_json(text: Any, key: Any) -> str | None:
    value = _member(text, key)
    return None if value is None else json.dumps(value)


def _format(pattern: Any, *arguments: Any) -> str:
    return str(pattern).replace("%s", "{}").format(*arguments)


FUNCTIONS: dict[str, Callable[..., Values]] = {
    "length": _strict(len, "int64"),
    "char_length": _strict(len, "int64"),
    "octet_length": _strict(lambda v: len(v.encode() if isinstance(v, str) else v), "int64"),
    "lower": _strict(lambda v: str(v).lower()),
    "upper": _strict(lambda v: str(v).upper()),
    "btrim": _strict(lambda v, *c: str(v).strip(*c)),
    "left": _strict(lambda v, n: str(v)[: int(n)]),
    "right": _strict(lambda v, n: str(v)[-int(n) :]),
    "lpad": _strict(lambda v, n, fill=" ": str(v).rjust(int(n), fill)[: int(n)]),
    "substring": _strict(lambda v, s, n=10**6: str(v)[int(s) - 1 : int(s) - 1 + int(n)]),
    "replace": _strict(lambda v, a, b: str(v).replace(a, b)),
    "split_part": _strict(lambda v, d, n: (str(v).split(d) + [""] * int(n))[int(n) - 1]),
    "strpos": _strict(lambda v, part: str(v).find(part) + 1, "int64"),
    "starts_with": _strict(lambda v, part: str(v).startswith(part), bool),
    "concat": _strict(lambda *parts: "".join(str(part) for part in parts)),
    "format": _strict(_format),
    "to_hex": _strict(lambda v: format(int(v), "x")),
    "md5": _strict(lambda v: hashlib.md5(str(v).encode(), usedforsecurity=False).hexdigest()),
    "sha256": _strict(lambda v: hashlib.sha256(v.encode() if isinstance(v, str) else v).digest()),
    "convert_to": _strict(lambda v, _: str(v).encode()),
    "cardinality": _strict(len, "int64"),
    "array_length": _strict(lambda v, _: len(v) or None, "int64"),
    "array_position": _strict(lambda v, x: v.index(x) + 1 if x in v else None, "int64"),
    "jsonb_typeof": _strict(_json_type),
    "json_typeof": _strict(_json_type),
    "jsonb_array_length": _strict(lambda v: len(_document(v)), "int64"),
    "json->": _strict(_member_json),
    "json->>": _strict(_member_text),
    "json?": _strict(lambda v, key: key in _document(v), bool),
    "round": _round,
    "abs": _numeric(np.abs),
    "floor": _numeric(np.floor),
    "ceil": _numeric(np.ceil),
    "ceiling": _numeric(np.ceil),
    "sqrt": _numeric(np.sqrt),
    "power": _numeric(np.power),
    "ln": _numeric(np.log),
    "exp": _numeric(np.exp),
    "sign": _numeric(np.sign),
    "trunc": _numeric(np.trunc),
    "mod": _strict(lambda a, b: a % b if b else None, float),
    "num_nulls": _num_nulls,
    "num_nonnulls": _num_nonnulls,
    "date_trunc": _date_trunc,
    "date_part": _extract,
    "extract": _extract,
    "isfinite": _strict(lambda _: True, bool),
    "make_interval": _strict(lambda days: from_text(f"{days} days", "interval"), "timedelta64[us]"),
}
