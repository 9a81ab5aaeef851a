"""Makes values fit their column: the length of a text, the range of a number, the tenant whose
they are where a UNIQUE is common to all tenants."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from datagen.apart import code_of, number_of
from datagen.constraints import Bounds
from datagen.request import Request
from datagen.values import Array, Values, objects

_TEXT_LIMIT = re.compile(r"char(?:acter)?(?: varying)?\((\d+)\)")
_NUMERIC = re.compile(r"numeric\((\d+),\s*(-?\d+)\)")
_INTEGERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def fitted(values: Values, type_name: str, lengths: Bounds, request: Request) -> Values:
    """The values, changed where they do not fit a type, which has its modifier."""
    if values.null.all():
        return values
    if values.data.dtype == object:
        least, most = _lengths(type_name, lengths)
        if most is None and least is None and not request.across:
            return values
        return Values(_texts(values.data, least, most, request), values.null)
    if values.data.dtype.kind in "if":
        return Values(_numbers(values.data, type_name, request), values.null)
    return values


def limits(type_name: str) -> tuple[float, float] | None:
    """The least and the greatest number of a type; None where it hardly has one."""
    if (greatest := _INTEGERS.get(type_name)) is not None:
        return -greatest, greatest
    if (found := _NUMERIC.search(type_name)) is not None:
        digits, places = int(found[1]), int(found[2])
        greatest_number = 10.0 ** (digits - places) - 10.0**-places
        return -greatest_number, greatest_number
    return None


def _lengths(type_name: str, told: Bounds) -> tuple[int | None, int | None]:
    found = _TEXT_LIMIT.search(type_name)
    limits = [int(found[1])] if found else []
    limits += [int(told[1])] if told[1] is not None else []
    least = None if told[0] is None else max(int(told[0]), 0)
    return least, max(min(limits), 0) if limits else None


def _texts(data: Array, least: int | None, most: int | None, request: Request) -> Array:
    canary, fit = request.tenant.canary, []
    for text, row in zip(data.tolist(), request.row_numbers.tolist(), strict=True):
        if isinstance(text, list):
            fit.append(resized(text, least or 0, most))
            continue
        if not isinstance(text, str):
            return data
        if request.across and canary not in text:
            text = f"{text}-{canary}" if request.unique else text
        if most is not None and len(text) > most:
            text = _cut(text, most, row, request)
        if least is not None and len(text) < least:
            text = (text + "x" * least)[:least] if not text.isdigit() else text.zfill(least)
        fit.append(text)
    return objects(fit)


def resized(items: Any, least: int, most: int | None) -> Any:
    """A text or list of a length between two; what is added repeats what is there."""
    more = items * (least // max(len(items), 1) + 1) if items else items
    return (items if len(items) >= least else more[:least])[:most]


def _cut(text: str, most: int, row: int, request: Request) -> str:
    """The beginning, or where it has to be distinct a code of the row."""
    if not request.unique:
        return text[:most].rstrip() or text[:most]
    code = code_of(row, request.tenant, max(request.across, 1))
    marked = f"{request.tenant.canary}{code}"
    if len(marked) < most:
        return (text[: most - len(marked) - 1].strip() + "-" + marked)[-most:]
    return code[-most:].zfill(min(most, 6))


def _numbers(data: Array, type_name: str, request: Request) -> Array:
    if request.across and request.unique and data.dtype.kind == "i":
        data = np.array([number_of(v, request.tenant, request.across) for v in data.tolist()])
    reach = limits(type_name)
    if reach is None or data.dtype.kind not in "if":
        return data
    low, high = (int(end) if data.dtype.kind == "i" else end for end in reach)
    return np.clip(data, low, high)
