"""Windows in which values have to lie: those of a partition key, and of a moment that is compared
with another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from datagen.expression import UnknownExpression, compile_expression
from datagen.expression.analysis import allowed_values, comparisons, conjuncts
from datagen.expression.evaluate import Scope, evaluate
from datagen.values import Array, Values, of

_SPAN = {"i": np.int64(1_000), "f": np.float64(1_000), "M": np.timedelta64(300, "D")}
"""How wide a window is that is open at one end, by kind of its values."""


@dataclass(frozen=True, slots=True)
class Window:
    """Values from `low` on, below `high`; or those that are listed."""

    low: Any = None
    high: Any = None
    values: tuple[Any, ...] = ()


def of_partitions(partitions: Sequence[str]) -> dict[str, list[Window]]:
    """By column a window for each partition; nothing where one of them takes every value, or
    where an expression tells them apart."""
    found: dict[str, list[Window]] = {}
    for text in partitions:
        if text.lstrip("(").startswith(("NOT ", "true")) or "satisfies_hash" in text:
            return {}
        for column, window in _of(text).items():
            found.setdefault(column, []).append(window)
    return found


def draw(windows: Sequence[Window], rng: np.random.Generator, rows: int) -> Array:
    """Values of which each lies in one of the windows, each as likely."""
    which = rng.integers(0, len(windows), rows)
    share = rng.random(rows)
    made = [_at(windows[w], s) for w, s in zip(which, share, strict=True)]
    if isinstance(made[0], str):
        texts = np.empty(rows, object)
        texts[:] = made
        return texts
    return np.array(made)


def _at(window: Window, share: float) -> Any:
    if window.values:
        return window.values[int(share * len(window.values))]
    low, high = window.low, window.high
    if isinstance(low if low is not None else high, str):
        return low if low is not None else ""
    span = _SPAN.get(np.asarray(low if low is not None else high).dtype.kind)
    low = high - span if low is None else low
    high = low + span if high is None else high
    if isinstance(low, np.datetime64):
        micros = (high - low).astype("timedelta64[us]").astype("int64")
        return low + np.timedelta64(int(micros * share), "us")
    return low + type(low)((high - low) * share)


def _of(text: str) -> dict[str, Window]:
    """The windows of one partition, of which each column has one."""
    found: dict[str, Window] = {}
    try:
        parts = list(conjuncts(compile_expression(text)))
    except UnknownExpression:
        return {}
    for part in parts:
        if (listed := allowed_values(part)) is not None:
            found[listed[0]] = Window(values=tuple(listed[1]))
            continue
        for column, operator, other in comparisons(part):
            found[column] = _narrowed(found.get(column, Window()), operator, _value(other))
    return {column: window for column, window in found.items() if window != Window()}


def moments(parts: Iterable[Any], as_of: datetime) -> dict[str, Window]:
    """By column the window of moments that conjuncts of its checks leave, now being `as_of`."""
    now = np.datetime64(as_of.replace(tzinfo=None), "us")
    found: dict[str, Window] = {}
    for part in parts:
        for column, operator, other in comparisons(part):
            value = _value(other, now)
            if isinstance(value, np.datetime64):
                found[column] = _narrowed(found.get(column, Window()), operator, value)
    return found


def within(values: Values, window: Window, rng: np.random.Generator) -> Values:
    """The values, those outside of the window drawn anew inside of it."""
    if values.data.dtype.kind != "M":
        return values
    outside = ~values.null
    if window.low is not None or window.high is not None:
        low = np.full(len(values), True) if window.low is None else values.data > window.low
        high = np.full(len(values), True) if window.high is None else values.data < window.high
        outside &= ~(low & high)
    rows = np.flatnonzero(outside)
    if not len(rows):
        return values
    fresh = draw([window], rng, len(rows)).astype(values.data.dtype)
    return values.put(rows, Values(fresh, np.zeros(len(rows), bool)))


def _narrowed(window: Window, operator: str, value: Any) -> Window:
    """The window with one more comparison; the narrower of two bounds counts."""
    if value is None:
        return window
    if operator == "=":
        return Window(values=(value,))
    low, high = window.low, window.high
    if operator in (">", ">="):
        return Window(value if low is None else max(low, value), high)
    return Window(low, value if high is None else min(high, value))


def _value(node: Any, now: Any = None) -> Any:
    """What an expression stands for as columns hold it; None where it is not known."""

    def lookup(name: str) -> Values:
        if name == "as_of" and now is not None:
            return of(np.array([now]))
        raise UnknownExpression(f"{name} is a column")

    try:
        found = evaluate(node, Scope(lookup, 1))
    except UnknownExpression:
        return None
    return None if found.null[0] else found.data[0]
