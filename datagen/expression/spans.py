"""Intervals. One without months is a timedelta64[us]; one with months, whose length depends on
where it begins, is a record of months and microseconds (dtype CALENDAR)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from datagen.expression.unknown import UnknownExpression
from datagen.values import Array

CALENDAR = np.dtype([("months", "int64"), ("micros", "int64")])
DAY = 86_400_000_000
"""Microseconds."""
_MICROS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "sec": 1_000_000,
    "minute": 60_000_000,
    "min": 60_000_000,
    "hour": 3_600_000_000,
    "day": DAY,
    "week": 7 * DAY,
}
_MONTHS = {"month": 1, "mon": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200}
_PART = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*([a-z]+?)s?(?=[\s\d]|$)")
_CLOCK = re.compile(r"([-+]?)(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?$")


def interval(text: str) -> Any:
    """An interval as a span of time; a month counts 30 days, a year 365.25."""
    months, micros = _parts(text)
    years, rest = divmod(months, 12)
    return np.timedelta64(round(micros + (years * 365.25 + rest * 30) * DAY), "us")


def calendar(text: str) -> Any:
    """An interval as PostgreSQL has it: a timedelta64, or a record where it has months."""
    months, micros = _parts(text)
    if months:
        return np.array((months, micros), CALENDAR)[()]
    return np.timedelta64(micros, "us")


def of_months(months: Array, micros: Array) -> Array:
    """Intervals of so many months and microseconds."""
    if not months.any():
        return micros.astype("timedelta64[us]")
    made = np.zeros(len(months), CALENDAR)
    made["months"], made["micros"] = months, micros
    return made


def shifted(moments: Array, spans: Array, sign: int) -> Array:
    """Moments plus or minus calendar intervals: the same day of another month, or its last."""
    month = moments.astype("datetime64[M]")
    day = moments.astype("datetime64[us]") - month
    target = month + sign * spans["months"]
    last = (target + 1).astype("datetime64[D]") - target.astype("datetime64[D]")
    excess = np.maximum(day.astype("timedelta64[D]") - (last - 1), np.timedelta64(0, "D"))
    at = target.astype("datetime64[us]") + day - excess
    moved: Array = at + (sign * spans["micros"]).astype("timedelta64[us]")
    return moved


def scaled(spans: Array, factor: Array) -> Array:
    """Calendar intervals times whole numbers."""
    if factor.dtype.kind != "i":
        raise UnknownExpression("a fraction of a month has no certain length")
    return of_months(spans["months"] * factor, spans["micros"] * factor)


def comparable(spans: Array) -> Array:
    """Intervals as PostgreSQL compares them: a month counts 30 days."""
    if spans.dtype == CALENDAR:
        micros: Array = spans["months"] * 30 * DAY + spans["micros"]
        return micros
    return spans.astype("timedelta64[us]").astype("int64")


def _parts(text: str) -> tuple[int, int]:
    """Months and microseconds."""
    clock = _CLOCK.search(text)
    micros, months = _clock_micros(clock) if clock else 0.0, 0.0
    rest = (text[: clock.start()] if clock else text).lower().strip()
    for number, unit in _PART.findall(rest):
        if unit not in _MICROS and unit not in _MONTHS:
            raise UnknownExpression(f"interval unit {unit} is not known")
        months += float(number) * _MONTHS.get(unit, 0)
        micros += float(number) * _MICROS.get(unit, 0)
    if _PART.sub("", rest).strip() or not (clock or rest):
        raise UnknownExpression(f"interval {text} cannot be read")
    return int(months), round(micros)


def _clock_micros(clock: re.Match[str]) -> float:
    sign, hours, minutes, seconds = clock.groups(default="0")
    total = (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1_000_000
    return -total if sign == "-" else total
