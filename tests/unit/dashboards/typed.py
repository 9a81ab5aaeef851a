"""Whether a value is what the annotations of Grafana's model say, all the way down.

The foundation SDK ships no JSON Schema, and its `from_json` takes what it is given: a word that is
none of an enumeration's stays. Its classes are annotated from Grafana's own schema, though.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from grafana_foundation_sdk.cog.runtime import UnknownDataquery


def faults(value: object, expected: Any = object, where: str = "board") -> Iterator[str]:
    """A line for each part that is something else."""
    origin, parts = get_origin(expected), get_args(expected)
    if isinstance(value, UnknownDataquery):
        yield f"{where}: a query of no known kind: {value.data}"
    elif origin in (Union, UnionType):
        yield from _of_union(value, parts, where)
    elif origin is Literal:
        yield from _unless(value in parts, value, expected, where)
    elif origin is list and isinstance(value, list):
        for number, each in enumerate(value):
            yield from faults(each, parts[0], f"{where}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for key, each in value.items():
            yield from faults(each, parts[1], f"{where}.{key}")
    else:
        yield from _of_class(value, origin or expected, where)


def _of_union(value: object, parts: tuple[Any, ...], where: str) -> Iterator[str]:
    if value is None and NoneType in parts:
        return
    told = [list(faults(value, part, where)) for part in parts if part is not NoneType]
    yield from min(told, key=len)


def _of_class(value: object, expected: Any, where: str) -> Iterator[str]:
    if isinstance(expected, type) and issubclass(expected, enum.Enum):
        yield from _unless(value in [each.value for each in expected], value, expected, where)
        return
    if isinstance(value, dict) and hasattr(expected, "from_json"):
        value = expected.from_json(value)  # of lists it leaves what stands in them as it is
    if expected is not object and expected is not Any:
        kinds = (int, float) if expected is float else expected
        is_truth = isinstance(value, bool) and expected is not bool
        yield from _unless(isinstance(value, kinds) and not is_truth, value, expected, where)
    if type(value).__module__.startswith("grafana_foundation_sdk.models"):
        for name, hint in get_type_hints(type(value)).items():
            yield from faults(getattr(value, name), hint, f"{where}.{name}")


def _unless(fine: bool, value: object, expected: Any, where: str) -> Iterator[str]:
    if not fine:
        yield f"{where}: {value!r} is no {getattr(expected, '__name__', expected)}"
