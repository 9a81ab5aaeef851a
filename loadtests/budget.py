"""Budgets: what a query promises, in its header or in `[load.budgets]` of harness.toml.

A budget is `p95 < 300ms` or `errors < 0.1%`; several stand in a list or between commas. In the
settings a name is `all`, a schema or a query; the narrower one counts, metric by metric, and
all of them stand over the header.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError

_BUDGET = re.compile(
    r"(?P<metric>p\d{2}(?:\.\d+)?|errors)\s*<?=?\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|%)"
)
_SCALE = {"ms": 1.0, "s": 1000.0, "%": 0.01}


@dataclass(frozen=True, slots=True)
class Budget:
    """A promise: the metric stays at or below the limit."""

    metric: str
    """`p95`, `p99.9` or `errors`."""
    limit: float
    """Milliseconds, or the share of requests for `errors`."""

    @property
    def quantile(self) -> float:
        """0.95 for `p95`."""
        return round(float(self.metric[1:]) / 100, 6)


NO_ERRORS = Budget("errors", 0.0)
"""Where nobody allows any."""


def parse(text: str) -> tuple[Budget, ...]:
    """The budgets that a text states; ValueError saying what cannot be understood."""
    found = tuple(_one(part.strip()) for part in text.split(","))
    metrics = [budget.metric for budget in found]
    if twice := next((m for m in metrics if metrics.count(m) > 1), None):
        raise ValueError(f"{twice} is stated twice")
    return found


def overlay(given: Iterable[Budget], over: Iterable[Budget]) -> tuple[Budget, ...]:
    """The budgets of both, where those of `over` replace what they speak of."""
    merged = {budget.metric: budget for budget in (*given, *over)}
    return tuple(merged.values())


def configured(
    settings: Mapping[str, Any], queries: Iterable[str]
) -> Mapping[str, tuple[Budget, ...]]:
    """Per query the budgets that settings give it, the narrower over the wider.

    Raises UsageError for a budget that cannot be understood or a name that nothing has.
    """
    names = tuple(queries)
    stated = dict(_stated(settings))
    schemas = {name.partition(".")[0] for name in names if "." in name}
    for name in stated:
        _require_known(name, {"all", *schemas, *names})
    return {name: overlay((), _of(name, stated)) for name in names}


def _one(text: str) -> Budget:
    found = _BUDGET.fullmatch(text)
    if not found or (found["metric"] == "errors") != (found["unit"] == "%"):
        raise ValueError(f"a budget is like `p95 < 50ms` or `errors < 0.1%`, not {text!r}")
    return Budget(found["metric"], float(found["limit"]) * _SCALE[found["unit"]])


def _of(name: str, stated: Mapping[str, tuple[Budget, ...]]) -> Iterator[Budget]:
    for scope in ("all", name.partition(".")[0], name):
        yield from stated.get(scope, ())


def _stated(
    settings: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, tuple[Budget, ...]]]:
    """Names with their budgets; a table in a table is a schema with its queries."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _stated(value, f"{name}.")
        else:
            yield name, _parsed(name, value)


def _parsed(name: str, value: Any) -> tuple[Budget, ...]:
    try:
        return parse(value if isinstance(value, str) else ", ".join(value))
    except (TypeError, ValueError) as error:
        raise UsageError(f"setting load.budgets.{name}: {error}") from None


def _require_known(name: str, known: set[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "a name is all, a schema or a query"
        raise UsageError(f"setting load.budgets.{name}: no query has that name; {hint}")
