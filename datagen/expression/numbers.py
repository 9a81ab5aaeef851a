"""Functions of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from datagen.expression.columnwise import Function, as_floats, constant_of, null_of, numeric
from datagen.expression.operators import apply_operator
from datagen.values import Values, of


def _round(value: Values, digits: Values | None = None) -> Values:
    """Half away from zero, as numeric does; the nudge undoes binary fractions such as 1.005."""
    scale = 10.0 ** (constant_of(digits, 0) if digits else 0)
    scaled = as_floats(value) * scale
    return Values(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5 + 1e-9) / scale, value.null)


def _trunc(value: Values, digits: Values | None = None) -> Values:
    scale = 10.0 ** (constant_of(digits, 0) if digits else 0)
    return Values(np.trunc(as_floats(value) * scale) / scale, value.null)


def _abs(value: Values) -> Values:
    whole = value.data.dtype.kind == "i"
    return Values(np.abs(value.data if whole else as_floats(value)), value.null)


def _div(a: Values, b: Values) -> Values:
    data = np.trunc(as_floats(a) / np.where(as_floats(b) == 0, np.nan, as_floats(b)))
    return Values(data, null_of((a, b)))


def _count_of_nulls(*arguments: Values) -> Values:
    return of(_sum(argument.null for argument in arguments))


def _count_of_others(*arguments: Values) -> Values:
    return of(_sum(~argument.null for argument in arguments))


def _sum(masks: Any) -> Any:
    return sum(mask.astype("int64") for mask in masks)


FUNCTIONS: dict[str, Function] = {
    "round": _round,
    "trunc": _trunc,
    "abs": _abs,
    "floor": numeric(np.floor),
    "ceil": numeric(np.ceil),
    "ceiling": numeric(np.ceil),
    "sqrt": numeric(np.sqrt),
    "power": numeric(np.power),
    "pow": numeric(np.power),
    "ln": numeric(np.log),
    "log": numeric(np.log10),
    "exp": numeric(np.exp),
    "sign": numeric(np.sign),
    "mod": lambda a, b: apply_operator("%", a, b),
    "div": _div,
    "num_nulls": _count_of_nulls,
    "num_nonnulls": _count_of_others,
}
