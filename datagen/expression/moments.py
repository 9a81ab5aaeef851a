"""Functions of timestamps, dates, times and intervals; time zones are UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from pglast.enums import SQLValueFunctionOp

from datagen.expression import spans
from datagen.expression.columnwise import Function, as_floats, constant_of, null_of, strict
from datagen.expression.spans import DAY
from datagen.expression.types import cast
from datagen.expression.unknown import UnknownExpression
from datagen.values import Array, Values, constant

_STEPS = {"second": "s", "minute": "m", "hour": "h", "day": "D", "month": "M", "year": "Y"}
_STEPS |= {"millisecond": "ms", "milliseconds": "ms", "microseconds": "us"}
_SPAN_UNITS = {"weeks": 7 * DAY, "days": DAY, "hours": 3_600_000_000, "mins": 60_000_000}
_SPAN_UNITS |= {"secs": 1_000_000}
_SPAN_ORDER = ("years", "months", "weeks", "days", "hours", "mins", "secs")
_TOKENS = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "HH24": "%H", "HH12": "%I"}
_TOKENS |= {"MI": "%M", "SS": "%S", "US": "%f", "Mon": "%b", "Dy": "%a", "DDD": "%j", "IYYY": "%G"}
_TOKENS |= {"IW": "%V", "ID": "%u", "AM": "%p", "PM": "%p"}
_TOKEN = re.compile(r'"[^"]*"|IYYY|YYYY|HH24|HH12|DDD|Mon|Dy|YY|MM|DD|MI|SS|US|IW|ID|AM|PM|\W|.')


def _date_trunc(unit: Values, moment: Values) -> Values:
    name, data = constant_of(unit, "day"), cast(moment, "timestamptz").data
    if data.dtype.kind != "M":
        raise UnknownExpression("date_trunc of an interval is not supported")
    if name in _STEPS:
        cut = data.astype(f"datetime64[{_STEPS[name]}]")
    elif name == "week":
        cut = data.astype("datetime64[D]") - _weekday(data).astype("timedelta64[D]")
    elif name == "quarter":
        month = data.astype("datetime64[M]")
        cut = month - (month.astype("int64") % 3).astype("timedelta64[M]")
    else:
        raise UnknownExpression(f"date_trunc to {name} is not supported")
    return Values(cut.astype("datetime64[us]"), moment.null)


def _extract(field: Values, source: Values) -> Values:
    name, data = str(constant_of(field, "year")).lower(), source.data
    fields = _OF_MOMENTS if data.dtype.kind == "M" else _OF_SPANS
    if data.dtype.kind not in "Mmi" or name not in fields:
        raise UnknownExpression(f"extract {name} is not supported here")
    return Values(fields[name](data).astype(float), source.null)


def _weekday(moments: Array) -> Any:
    """0 for Monday."""
    return (moments.astype("datetime64[D]").astype("int64") + 3) % 7


def _micros_of_day(moments: Array) -> Array:
    return moments.astype("datetime64[us]").astype("int64") % DAY


def _day_of(moments: Array, start: str) -> Any:
    """Days since the first of the month or year (`M`, `Y`), 1 for the first."""
    days = moments.astype("datetime64[D]")
    return (days - days.astype(f"datetime64[{start}]").astype("datetime64[D]")).astype("int64") + 1


def _year(moments: Array) -> Array:
    return moments.astype("datetime64[Y]").astype("int64") + 1970


def _month(moments: Array) -> Array:
    return moments.astype("datetime64[M]").astype("int64") % 12 + 1


def _week(moments: Array) -> Any:
    """By ISO 8601: the week belongs to the year of its Thursday."""
    thursday = moments.astype("datetime64[D]") + (3 - _weekday(moments)).astype("timedelta64[D]")
    return (_day_of(thursday, "Y") - 1) // 7 + 1


def _micros(span: Array) -> Array:
    return spans.comparable(span) if span.dtype.kind == "m" else span


def _make_interval(*given: Values, **named: Values) -> Values:
    arguments = dict(zip(_SPAN_ORDER, given, strict=False)) | named
    rows = len(next(iter(arguments.values())))
    counts = {name: as_floats(arguments.get(name, constant(0, rows))) for name in _SPAN_ORDER}
    micros = sum(np.rint(counts[name] * unit) for name, unit in _SPAN_UNITS.items())
    months = (counts["years"] * 12 + counts["months"]).astype("int64")
    data = spans.of_months(months, np.asarray(micros).astype("int64"))
    return Values(data, null_of(tuple(arguments.values())))


def _make_date(year: Values, month: Values, day: Values) -> Values:
    months = (year.data - 1970) * 12 + month.data - 1
    data = months.astype("datetime64[M]").astype("datetime64[D]") + (day.data - 1)
    return Values(data, null_of((year, month, day)))


def _to_timestamp(seconds: Values) -> Values:
    micros = np.rint(as_floats(seconds) * 1_000_000).astype("int64")
    return Values(micros.astype("datetime64[us]"), seconds.null)


def _to_char(value: Values, pattern: Values) -> Values:
    form = str(constant_of(pattern, ""))
    if value.data.dtype.kind == "M":
        return strict(lambda moment: moment.strftime(_strftime(form)))(value)
    digits = re.fullmatch(r"FM(9*)(0+)", form)
    if digits is None:
        raise UnknownExpression(f"to_char with {form} is not supported")
    return strict(lambda number: _padded(round(number), len(digits[2]), len(form) - 2))(value)


def _padded(number: int, zeros: int, width: int) -> str:
    text = f"{abs(number):0{zeros}d}"
    return ("-" if number < 0 else "") + (text if len(text) <= width else "#" * width)


def _strftime(form: str) -> str:
    return "".join(_strftime_token(token) for token in _TOKEN.findall(form))


def _strftime_token(token: str) -> str:
    if token in _TOKENS:
        return _TOKENS[token]
    if token.isalnum():
        raise UnknownExpression(f"to_char with {token} is not supported")
    return token.strip('"').replace("%", "%%")


def _timezone(zone: Values, moment: Values) -> Values:
    if str(constant_of(zone, "UTC")).upper() not in ("UTC", "GMT", "ETC/UTC"):
        raise UnknownExpression("only UTC is supported as a time zone")
    return moment


_OF_MOMENTS: dict[str, Callable[[Array], Any]] = {
    "epoch": lambda m: m.astype("datetime64[us]").astype("int64") / 1e6,
    "year": _year,
    "quarter": lambda m: (_month(m) + 2) // 3,
    "month": _month,
    "week": _week,
    "day": lambda m: _day_of(m, "M"),
    "doy": lambda m: _day_of(m, "Y"),
    "dow": lambda m: (_weekday(m) + 1) % 7,
    "isodow": lambda m: _weekday(m) + 1,
    "hour": lambda m: _micros_of_day(m) // 3_600_000_000,
    "minute": lambda m: _micros_of_day(m) // 60_000_000 % 60,
    "second": lambda m: _micros_of_day(m) % 60_000_000 / 1e6,
}
_OF_SPANS: dict[str, Callable[[Array], Any]] = {
    "epoch": lambda s: _micros(s) / 1e6,
    "day": lambda s: np.trunc(_micros(s) / DAY),
    "hour": lambda s: np.trunc(np.fmod(_micros(s), DAY) / 3_600_000_000),
    "minute": lambda s: np.trunc(np.fmod(_micros(s), 3_600_000_000) / 60_000_000),
    "second": lambda s: np.fmod(_micros(s), 60_000_000) / 1e6,
}
_OF_NOW = (
    SQLValueFunctionOp.SVFOP_CURRENT_TIMESTAMP,
    SQLValueFunctionOp.SVFOP_CURRENT_TIMESTAMP_N,
    SQLValueFunctionOp.SVFOP_LOCALTIMESTAMP,
    SQLValueFunctionOp.SVFOP_LOCALTIMESTAMP_N,
)


def current(kind: Any, moment: Values) -> Values:
    """CURRENT_DATE and its like, now being the moment that the data are of."""
    if kind == SQLValueFunctionOp.SVFOP_CURRENT_DATE:
        return cast(moment, "date")
    if kind in _OF_NOW:
        return moment
    raise UnknownExpression("what the session says is not known")


FUNCTIONS: dict[str, Function] = {
    "date_trunc": _date_trunc,
    "date_part": _extract,
    "extract": _extract,
    "isfinite": lambda moment: Values(np.ones(len(moment), bool), moment.null),
    "make_interval": _make_interval,
    "make_date": _make_date,
    "to_timestamp": _to_timestamp,
    "to_char": _to_char,
    "timezone": _timezone,
}
