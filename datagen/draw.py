"""The draws that recipes name: weighted choices, log-normal figures, delays, templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from datagen import composing
from datagen.expression.spans import interval
from datagen.generators import modules
from datagen.keys import WINDOW
from datagen.part import Cohort
from datagen.request import Request
from datagen.values import Array, Values, constant, objects, of
from harness.errors import UsageError

_RECENT = 1.4
"""Moments are Beta(1, this) before today: the more the later."""
Lookup = Callable[[str], Values]


def draw(recipe: Mapping[str, Any], request: Request, lookup: Lookup) -> Values:
    """Values of a recipe's draw; `lookup` gives other columns of the same rows."""
    for name, make in _DRAWS.items():
        if name in recipe:
            return make(recipe, request, lookup)
    raise UsageError(f"column {request.name}: the recipe names no draw, only {sorted(recipe)}")


def _value(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    value = recipe["value"]
    return constant(json.dumps(value) if isinstance(value, dict) else value, request.rows)


def _weights(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    shares = np.array(list(recipe["weights"].values()), float)
    pool = objects(list(recipe["weights"]))
    return of(pool[request.rng.choice(len(pool), request.rows, p=shares / shares.sum())])


def _values(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    given = recipe["values"]
    plain = isinstance(given[0], int | float)
    pool = np.array(given) if plain else objects([_as_value(v) for v in given])
    if recipe.get("pick") == "uniform":
        return of(request.pick(pool))
    return of(pool[request.row_numbers % len(pool)])


def _integers(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    low, high = recipe["integers"]
    return of(request.rng.integers(low, high + 1, request.rows))


def _uniform(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    low, high = recipe["uniform"]
    return of(np.round(request.rng.uniform(low, high, request.rows), recipe.get("digits", 2)))


def _lognormal(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    given = recipe["lognormal"]
    drawn = given["median"] * np.exp(request.rng.normal(0, given.get("sigma", 1), request.rows))
    drawn = np.clip(drawn, given.get("min", 0), given.get("max", np.inf))
    return of(np.round(drawn, given.get("digits", 2)))


def _after(recipe: Mapping[str, Any], request: Request, lookup: Lookup) -> Values:
    """Another column plus a log-normal delay, never after today."""
    base = lookup(recipe["after"])
    median = interval(recipe.get("median", "1 hour")).astype("int64")
    delay = median * np.exp(request.rng.normal(0, recipe.get("sigma", 0.8), request.rows))
    moments = base.data.astype("datetime64[us]") + delay.astype("timedelta64[us]")
    return Values(_as(base, moments), base.null)


def _time(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    """Moments in the window: `order = "row"` rising, `hours = "business"` in working hours."""
    days = recipe.get("days", WINDOW.days)
    end = np.datetime64(request.as_of.replace(tzinfo=None), "us")
    share = request.rng.beta(1, _RECENT, request.rows)
    rising = recipe.get("order") == "row"
    if rising:
        share = _in_turn(share, request.cohort)
    moments = end - (share * days * 86_400e6).astype("timedelta64[us]")
    if recipe.get("hours") == "business":
        moments = _working(moments, request)
    if rising:  # at last: working hours move moments past each other
        moments = np.sort(moments)[np.argsort(np.argsort(request.row_numbers))]
    return of(np.minimum(moments, end))


def _in_turn(share: Array, cohort: Cohort) -> Array:
    """Shares of the window as one cohort after the other has them, all together as drawn."""
    if cohort.of == 1:
        return share
    within = 1 - (1 - share) ** _RECENT  # where the share stands in its distribution, 0 to 1
    reached = (cohort.of - 1 - cohort.index + within) / cohort.of
    later: Array = 1 - (1 - reached) ** (1 / _RECENT)
    return later


def _working(moments: Array, request: Request) -> Array:
    """The same days between 8 and 18 o'clock with a dip at noon, weekends mostly moved."""
    days = moments.astype("datetime64[D]")
    weekday = (days.astype("int64") + 3) % 7
    moved = (weekday >= 5) & (request.rng.random(request.rows) < 0.7)
    days = days - np.where(moved, weekday - 4, 0).astype("timedelta64[D]")
    morning = request.rng.random(request.rows) < 0.5
    hours = np.where(
        morning,
        request.rng.normal(10.2, 1.0, request.rows),
        request.rng.normal(15.0, 1.3, request.rows),
    )
    micros = (np.clip(hours, 6, 21) * 3600e6).astype("timedelta64[us]")
    moved_moments: Array = days.astype("datetime64[us]") + micros
    return moved_moments


def _generator(recipe: Mapping[str, Any], request: Request, _: Lookup) -> Values:
    name = recipe["generator"]
    if name not in modules():
        raise UsageError(f"column {request.name}: there is no generator {name}")
    made: Values = modules()[name].generate(request)
    return made


def _template(recipe: Mapping[str, Any], request: Request, lookup: Lookup) -> Values:
    template = recipe["template"]
    columns = _columns(composing.fields(template), request, lookup)
    return of(objects(composing.formatted(template, columns, request.rows)))


def _json(recipe: Mapping[str, Any], request: Request, lookup: Lookup) -> Values:
    """JSON templates; `<name>` stands for a column, `row` or `canary`."""
    given = recipe["json"]
    texts = given if isinstance(given, list) else [given]
    which = request.rng.integers(0, len(texts), request.rows)
    names = {name for text in texts for name in composing.placeholders(text)}
    return of(composing.replaced(texts, which, _columns(names, request, lookup)))


def _columns(names: Iterable[str], request: Request, lookup: Lookup) -> dict[str, Any]:
    """What a template mentions: columns, `row` and `canary`."""
    special = {"row": request.row_numbers, "canary": request.tenant.canary}
    return {name: special[name] if name in special else lookup(name).data for name in names}


def _as(base: Values, moments: Array) -> Array:
    return moments.astype(base.data.dtype)


def _as_value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


_DRAWS: dict[str, Callable[[Mapping[str, Any], Request, Lookup], Values]] = {
    "value": _value,
    "weights": _weights,
    "values": _values,
    "integers": _integers,
    "uniform": _uniform,
    "lognormal": _lognormal,
    "after": _after,
    "time": _time,
    "generator": _generator,
    "template": _template,
    "json": _json,
}
