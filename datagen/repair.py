"""Makes rows satisfy CHECKs and uniqueness by local search, as WalkSAT does.

Rows that break a constraint get a fresh value in one of its columns, chosen at random among
those that no recipe fixes, or two timestamps change places; after some rounds almost none is
left, and those that are left out. All rows that break something are mended at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from datagen.breaking import Constraint, Looked, broken, broken_checks, evaluated, failing
from datagen.constraints import Check, Unique
from datagen.expression import Expression, UnknownExpression, compile_expression
from datagen.fitting import resized
from datagen.frame import KEEP_NULL, PARENT_CHOICE, Frame
from datagen.generators import knows_domain
from datagen.plan import Reference
from datagen.values import Array, Mask, Values, are_texts, constant, nulls, objects

ROUNDS = 120
SOME = 64
"""Rows by which a generator is judged."""


def repair(frame: Frame) -> tuple[Mask, dict[str, int]]:
    """Mends the frame in place; returns which rows hold, and how many broke each constraint.

    Only rows that broke something are drawn anew, so only they are looked at again. A table of no
    rows needs no values.
    """
    if not frame.rows:
        return np.ones(0, bool), {}
    for column in frame.table.columns:
        frame.column(column.name)
    checks = [check for check in frame.table.checks if _needs_a_look(frame, check)]
    looked = Looked(frame)
    if _mended(frame, checks, looked):
        return np.ones(frame.rows, bool), {}
    frame.attempt = ROUNDS
    left = broken(frame, checks, np.arange(frame.rows), looked)
    held = np.ones(frame.rows, bool)
    for rows in left.values():
        held[rows] = False
    return held, {_name(constraint): len(rows) for constraint, rows in left.items()}


def _mended(frame: Frame, checks: list[Check], looked: Looked) -> bool:
    """Draws anew what breaks something, round after round, as long as that may help."""
    suspects = np.arange(frame.rows)
    for attempt in range(1, ROUNDS + 1):
        found = broken(frame, checks, suspects, looked)
        if not found:
            return True
        if all(_is_final(frame, constraint) for constraint in found):
            return False
        frame.attempt = attempt
        for constraint, rows in found.items():
            _mend(frame, constraint, rows)
        suspects = _rows_of(found, frame.rows)
        _derive(frame, suspects, looked)
    return False


def _rows_of(found: Mapping[Constraint, Array], rows: int) -> Array:
    """The rows that break something, in their order."""
    those_found = np.zeros(rows, bool)
    for those in found.values():
        those_found[those] = True
    return np.flatnonzero(those_found)


def redraw(frame: Frame, rows: Array, number: int) -> None:
    """Draws rows anew that PostgreSQL refused, the `number`-th time; what their checks say of
    them holds again where it can."""
    checks = [check for check in frame.table.checks if _needs_a_look(frame, check)]
    frame.attempt = ROUNDS * (number + 2)
    for column in frame.table.columns:
        if column.name != frame.table.key and _is_free(frame, column.name):
            _renew(frame, column.name, rows)
    looked = Looked(frame)
    _derive(frame, rows, looked)
    for _ in range(ROUNDS):
        found = broken_checks(frame, checks, rows, looked)
        if not found:
            return
        frame.attempt += 1
        for constraint, failed in found.items():
            _mend(frame, constraint, failed)
        _derive(frame, rows, looked)


def _needs_a_look(frame: Frame, check: Check) -> bool:
    """A domain's check is not looked at where all of the first values pass: its generator knows
    the domain."""
    if check.by_construction or not check.of_domain:
        return not check.by_construction
    if not failing(frame, check, np.arange(min(SOME, frame.rows))).any():
        return False
    frame.doubtful |= check.expression.columns
    return True


def _is_final(frame: Frame, constraint: Constraint) -> bool:
    """Whether its columns would hold the same whatever was drawn anew: they follow from the
    row's place below its parent."""
    if isinstance(constraint, Reference):
        return False
    names = _mentioned(frame, constraint)
    if any(_is_drawn_again(frame, name) for name in names):
        return False
    return all(_is_of_block(frame, name) for name in names if _is_random(frame, name))


def _is_drawn_again(frame: Frame, name: str) -> bool:
    """Whether a column gets other values in each round although nothing mends it."""
    recipe = frame.table.recipe.columns.get(name, {})
    if recipe.keys() & {"after", "null"} and recipe.keys() & {"after", "expression"}:
        return True
    columns = frame.table.table.columns
    return any(
        "." in each or (each in columns and _is_drawn_again(frame, each))
        for each in _made_of(frame, name)
    )


def _is_of_block(frame: Frame, name: str) -> bool:
    """Whether a column belongs to the foreign key whose parent each row has from the first."""
    reference, per = frame.table.reference_of(name), frame.table.recipe.per
    return (
        reference is not None
        and per is not None
        and per.column == reference.columns[0][0]
        and set(frame.table.recipe.columns.get(name, {})) <= PARENT_CHOICE
        and not frame.following(reference)
    )


def _name(constraint: Constraint) -> str:
    if isinstance(constraint, Reference):
        return f"the foreign key to {constraint.parent}"
    return constraint.name


def _mend(frame: Frame, constraint: Constraint, rows: Array) -> None:
    rng = frame.generator("repair", _name(constraint))
    if isinstance(constraint, Check) and _rearranged(frame, constraint, rows, rng):
        return
    if isinstance(constraint, Reference):
        _choose_others(frame, constraint, rows)
        return
    names = _candidates(frame, constraint)
    if not names:
        return
    which = rng.integers(0, len(names), len(rows))
    for position, name in enumerate(names):
        chosen = rows[which == position]
        if len(chosen):
            _renew(frame, name, chosen)


def _choose_others(frame: Frame, reference: Reference, rows: Array) -> None:
    """Other parents in the foreign keys that share columns with this one."""
    leading = [frame.table.reference_of(own) for own, _ in reference.columns]
    for other in dict.fromkeys(each for each in leading if each is not None):
        frame.choose_again(other, rows)


def _rearranged(frame: Frame, check: Check, rows: Array, rng: np.random.Generator) -> bool:
    """Mends a check by what it says of two columns: one is what is computed of the others, or
    they change places."""
    if check.assign is not None and _is_alone(frame, check.assign[0]) and rng.random() < 0.5:
        return _assign(frame, *check.assign, rows)
    swap = check.swap
    if swap and all(_is_alone(frame, name) for name in swap) and rng.random() < 0.5:
        _exchange(frame, swap, rows)
        return True
    return False


def _assign(frame: Frame, name: str, expression: Expression, rows: Array) -> bool:
    fresh = evaluated(frame, expression, rows)
    old = frame.column(name)
    if fresh is None or name == frame.table.key:
        return False
    if fresh.data.dtype.kind != old.data.dtype.kind and {
        fresh.data.dtype.kind,
        old.data.dtype.kind,
    } != {"i", "f"}:
        return False
    frame.made[name] = old.put(rows, fresh)
    return True


def _candidates(frame: Frame, constraint: Check | Unique) -> list[str]:
    """Columns that may be drawn anew: those without a recipe, or else any."""
    names = [name for name in _mentioned(frame, constraint) if _is_random(frame, name)]
    free = [name for name in names if _is_free(frame, name)]
    return free if free and frame.attempt % 4 else names


def _mentioned(frame: Frame, constraint: Check | Unique) -> list[str]:
    """The table's columns that a constraint is about."""
    if isinstance(constraint, Check):
        mentioned = set(constraint.expression.columns)
    else:
        mentioned = set(constraint.columns)
        mentioned |= set(constraint.predicate.columns if constraint.predicate else ())
    return sorted(mentioned & {column.name for column in frame.table.columns})


def _is_random(frame: Frame, name: str) -> bool:
    recipe = frame.table.recipe.columns.get(name, {})
    per = frame.table.recipe.per
    fixed = name == frame.table.tenant_column or (per is not None and per.column == name)
    fixed = fixed or frame.table.table.columns[name].generated is not None
    return not (fixed or recipe.keys() & {"expression", "value", "default", "block"})


def _is_free(frame: Frame, name: str) -> bool:
    return _is_random(frame, name) and name not in frame.table.recipe.columns


def _is_alone(frame: Frame, name: str) -> bool:
    """Whether its values follow from nothing else, nor others from them."""
    return _is_free(frame, name) and frame.table.reference_of(name) is None


def _exchange(frame: Frame, names: tuple[str, str], rows: Array) -> None:
    first, second = (frame.column(name) for name in names)
    if first.data.dtype != second.data.dtype:
        return
    rows = rows[~first.null[rows] & ~second.null[rows]]
    frame.made[names[0]] = first.put(rows, second.take(rows))
    frame.made[names[1]] = second.put(rows, first.take(rows))


def _renew(frame: Frame, name: str, rows: Array) -> None:
    reference = frame.table.reference_of(name)
    column = frame.table.table.columns[name]
    if reference is not None and set(frame.table.recipe.columns.get(name, {})) <= PARENT_CHOICE:
        frame.choose_again(reference, rows)
        return
    fresh = _variant(frame, name, frame.make(name, rows))
    if not column.not_null:
        share = KEEP_NULL[frame.attempt % len(KEEP_NULL)]
        absent = frame.generator(name, "renew").random(len(rows)) < share
        fresh = Values(fresh.data, absent | (fresh.null & absent))
        if fresh.data.dtype == object and any(v is None for v in fresh.data):
            fresh = nulls(len(rows))
    frame.made[name] = frame.column(name).put(rows, fresh)


def _variant(frame: Frame, name: str, fresh: Values) -> Values:
    """Every other time something that the schema itself mentions."""
    if name in frame.table.recipe.columns or frame.attempt % 2 or not len(fresh):
        return fresh
    options = list(_options(frame, name, fresh))
    rng = frame.generator(name, "variant")
    return options[int(rng.integers(len(options)))]() if options else fresh


def _options(frame: Frame, name: str, fresh: Values) -> Iterator[Callable[[], Values]]:
    """What makes a constant that a CHECK compares the column with, its default, the same text in
    lower or upper case: values like the fresh ones."""
    column, told, rows = frame.table.table.columns[name], frame.table.told, len(fresh)
    texts = are_texts(fresh.data)
    for value in told.constants.get(name, []):
        if isinstance(value, str) and fresh.data.dtype == object:
            if texts:
                yield partial(constant, value.replace("%", "a"), rows)
        elif isinstance(value, int | float) and fresh.data.dtype.kind in "if":
            yield partial(constant, value, rows)
    if (default := _default(column.default, fresh)) is not None:
        yield partial(default.take, np.zeros(rows, "int64"))
    trusted = knows_domain(column, frame.plan.catalog) and name not in frame.doubtful
    if not trusted and name not in told.choices:
        yield from _changed(fresh, told.sizes.get(name, []), texts)


def _changed(fresh: Values, sizes: list[float], texts: bool) -> Iterator[Callable[[], Values]]:
    """What makes texts or lists of other lengths, and texts in the other case."""
    if sizes and all(isinstance(item, str | list) for item in fresh.data.tolist()):
        for size in (int(size) + more for size in sizes for more in (0, 1, -1)):
            yield partial(_each, fresh, partial(resized, least=max(size, 0), most=max(size, 0)))
    if texts:
        yield from (partial(_each, fresh, change) for change in (str.lower, str.upper))


def _each(values: Values, change: Callable[[Any], Any]) -> Values:
    return Values(objects([change(item) for item in values.data.tolist()]), values.null)


def _default(text: str | None, like: Values) -> Values | None:
    """The column's default, where it is a constant of the type of other values: one of it."""
    if text is None or "(" in text.partition("'")[0]:
        return None
    try:
        made = compile_expression(text).evaluate(_no_column, 1)
    except UnknownExpression:
        return None
    return made if made.data.dtype.kind == like.data.dtype.kind and not made.null.any() else None


def _no_column(name: str) -> Values:
    raise UnknownExpression(f"{name} is a column")


def _derive(frame: Frame, rows: Array, looked: Looked) -> None:
    """Computes again, for rows that were drawn anew, what follows from other columns."""
    for name, recipe in frame.table.recipe.columns.items():
        if recipe.keys() & {"expression", "after"} and name in frame.made:
            if _follows_only(recipe) and not looked.is_new(name, _made_of(frame, name)):
                continue
            frame.made[name] = frame.column(name).put(rows, frame.make(name, rows))
    for name, column in frame.table.table.columns.items():
        computed = column.generated is not None and name in frame.made
        if computed and looked.is_new(name, _made_of(frame, name)):
            frame.made[name] = frame.make(name, np.arange(frame.rows))


def _follows_only(recipe: Mapping[str, Any]) -> bool:
    """Whether nothing is drawn in a column that is computed."""
    return "expression" in recipe and not recipe.get("null")


def _made_of(frame: Frame, name: str) -> Iterable[str]:
    """What the expression of a column mentions, the database's or a recipe's."""
    text = frame.table.table.columns[name].generated
    text = text or frame.table.recipe.columns.get(name, {}).get("expression")
    try:
        return compile_expression(text).columns if text else ()
    except UnknownExpression:
        return ()
