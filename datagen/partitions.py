"""Where the values of a partition key may lie, from what is true of each partition's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.expression import UnknownExpression, compile_expression
from datagen.expression.analysis import allowed_values, compared, conjuncts
from datagen.expression.evaluate import Scope, evaluate
from datagen.values import Array

_SPAN = {"i": np.int64(1_000), "f": np.float64(1_000), "M": np.timedelta64(30, "D")}
"""How wide a window is that is open at one end, by kind of its values."""


@dataclass(frozen=True, slots=True)
class Window:
    """Values from `low` on, below `high`; or those that are listed."""

    low: Any = None
    high: Any = None
    values: tuple[Any, ...] = ()


def windows(partitions: Sequence[str]) -> dict[str, list[Window]]:
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
        elif (comparison := compared(part)) is not None:
            column, operator, other = comparison
            found[column] = _narrowed(found.get(column, Window()), operator, _value(other))
    return {column: window for column, window in found.items() if window != Window()}


def _narrowed(window: Window, operator: str, value: Any) -> Window:
    if value is None:
        return window
    if operator == "=":
        return Window(values=(value,))
    if operator in (">", ">="):
        return Window(value, window.high)
    return Window(window.low, value)


def _value(node: Any) -> Any:
    """What a literal stands for as columns hold it; None where it is not known."""
    try:
        found = evaluate(node, Scope(_no_column, 1))
    except UnknownExpression:
        return None
    return None if found.null[0] else found.data[0]


def _no_column(name: str) -> Any:
    raise UnknownExpression(f"{name} is a column")
