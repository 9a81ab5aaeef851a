"""Makes rows satisfy CHECKs and uniqueness by local search, as WalkSAT does.

Rows that break a constraint get a fresh value in one of its columns, chosen at random among
those that no recipe fixes, or two timestamps change places; after some rounds almost none is
left, and those that are left out. All rows that break something are mended at once.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from datagen import spanning
from datagen.expression import Expression, UnknownExpression
from datagen.frame import PARENT_CHOICE, Frame, own_key
from datagen.plan import Check, Unique
from datagen.repeats import repeated
from datagen.values import Array, Mask, Values, nulls

ROUNDS = 120
FEW = 200
"""Rows up to which a set finds repeated ones sooner than pandas does."""
Looked = dict[Unique, tuple[list[Values], Array]]
"""By constraint the columns that were looked at last, and the rows that broke it."""
KEEP_NULL = 0.4
"""Share of the fresh values of a nullable column that are NULL."""


def repair(frame: Frame) -> tuple[Mask, dict[str, int]]:
    """Mends the frame in place; returns which rows hold, and how many broke each constraint.

    Only rows that broke something are drawn anew, so only they are looked at again.
    """
    for column in frame.table.columns:
        frame.column(column.name)
    checks = [check for check in frame.table.checks if not check.by_construction]
    suspects = np.arange(frame.rows)
    looked: Looked = {}
    for attempt in range(1, ROUNDS + 1):
        broken = {**_broken_checks(frame, checks, suspects), **_broken_uniques(frame, looked)}
        if not broken:
            return np.ones(frame.rows, bool), {}
        frame.attempt = attempt
        for constraint, rows in broken.items():
            _mend(frame, constraint, rows)
        suspects = np.unique(np.concatenate(list(broken.values())))
        _derive(frame, suspects)
    every = np.arange(frame.rows)
    left = {**_broken_checks(frame, checks, every), **_broken_uniques(frame, looked)}
    held = np.ones(frame.rows, bool)
    for rows in left.values():
        held[rows] = False
    return held, {constraint.name: len(rows) for constraint, rows in left.items()}


def _broken_checks(frame: Frame, checks: list[Check], rows: Array) -> dict[Check | Unique, Array]:
    """Which of the rows break which CHECK; NULL passes."""
    broken: dict[Check | Unique, Array] = {}
    for check in checks:
        value = _evaluate(frame, check.expression, rows)
        if value is not None and (failed := ~value.null & ~value.data.astype(bool)).any():
            broken[check] = rows[failed]
    return broken


def _broken_uniques(frame: Frame, looked: Looked) -> dict[Check | Unique, Array]:
    """All but the first of the rows that a unique constraint takes for the same."""
    found = ((unique, _looked_at(frame, unique, looked)) for unique in frame.table.uniques)
    return {unique: rows for unique, rows in found if len(rows)}


def _looked_at(frame: Frame, unique: Unique, looked: Looked) -> Array:
    """Rows that repeat another one; columns that nobody has drawn anew are not looked at again."""
    names = [*unique.columns, *(unique.predicate.columns if unique.predicate else ())]
    columns = [frame.lookup(name) for name in names]
    before, found = looked.get(unique, ([], None))
    same = len(before) == len(columns) and all(map(operator.is_, before, columns))
    if found is None or not same:
        found = np.flatnonzero(_duplicates(frame, unique))
        looked[unique] = (columns, found)
    return found


def _evaluate(frame: Frame, expression: Expression, rows: Array) -> Values | None:
    """None where the expression can only be judged by PostgreSQL."""

    def lookup(name: str) -> Values:
        values = frame.lookup(name)
        return values if len(rows) == frame.rows else values.take(rows)

    try:
        return expression.evaluate(lookup, len(rows))
    except UnknownExpression:
        return None


def _duplicates(frame: Frame, unique: Unique) -> Mask:
    found = np.zeros(frame.rows, bool)
    if _is_own_key(frame, unique):
        return found
    at = subject_rows(frame, unique)
    columns = [frame.lookup(name).take(at) for name in unique.columns]
    if len(at) > 1:
        found[at] = _repeated(columns) if columns else np.arange(len(at)) > 0
    if unique.name in frame.part.seen:
        found[at] |= spanning.among(frame.part.seen[unique.name], columns, len(at))
    return found


def subject_rows(frame: Frame, unique: Unique) -> Array:
    """The rows that have to differ: the predicate holds, and no NULL makes them so."""
    rows = np.ones(frame.rows, bool)
    if unique.predicate is not None:
        value = _evaluate(frame, unique.predicate, np.arange(frame.rows))
        if value is not None:
            rows &= ~value.null & value.data.astype(bool)
    if not unique.nulls_equal:
        for name in unique.columns:
            rows &= ~frame.lookup(name).null
    return np.flatnonzero(rows)


def _is_own_key(frame: Frame, unique: Unique) -> bool:
    """A key that is computed from the row number needs no look."""
    return own_key(frame.plan, frame.table) in unique.columns


def _repeated(columns: list[Values]) -> Mask:
    """Which rows are like one before them."""
    if len(columns[0]) > FEW:
        return repeated(columns)
    rows = list(zip(*(_hashable(column) for column in columns), strict=True))
    first = {row: position for position, row in reversed(list(enumerate(rows)))}
    return np.array([first[row] != position for position, row in enumerate(rows)])


def _hashable(values: Values) -> list[Any]:
    return [
        None if null else value
        for value, null in zip(values.data.tolist(), values.null.tolist(), strict=True)
    ]


def _mend(frame: Frame, constraint: Check | Unique, rows: Array) -> None:
    rng = frame.generator("repair", constraint.name)
    swap = constraint.swap if isinstance(constraint, Check) else None
    if swap and all(_is_free(frame, name) for name in swap) and rng.random() < 0.5:
        _exchange(frame, swap, rows)
        return
    names = _candidates(frame, constraint)
    if not names:
        return
    which = rng.integers(0, len(names), len(rows))
    for position, name in enumerate(names):
        chosen = rows[which == position]
        if len(chosen):
            _renew(frame, name, chosen)


def _candidates(frame: Frame, constraint: Check | Unique) -> list[str]:
    """Columns that may be drawn anew: those without a recipe, or else any."""
    if isinstance(constraint, Check):
        mentioned = set(constraint.expression.columns)
    else:
        mentioned = set(constraint.columns)
        mentioned |= set(constraint.predicate.columns if constraint.predicate else ())
    names = sorted(mentioned & {column.name for column in frame.table.columns})
    names = [name for name in names if _is_random(frame, name)]
    free = [name for name in names if _is_free(frame, name)]
    return free if free and frame.attempt % 4 else names


def _is_random(frame: Frame, name: str) -> bool:
    recipe = frame.table.recipe.columns.get(name, {})
    per = frame.table.recipe.per
    fixed = name == frame.plan.tenant_column or (per is not None and per.column == name)
    return not (fixed or recipe.keys() & {"expression", "value", "default", "block"})


def _is_free(frame: Frame, name: str) -> bool:
    return _is_random(frame, name) and name not in frame.table.recipe.columns


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
    fresh = frame.make(name, rows)
    if not column.not_null:
        absent = frame.generator(name, "renew").random(len(rows)) < KEEP_NULL
        fresh = Values(fresh.data, absent | (fresh.null & absent))
        if fresh.data.dtype == object and any(v is None for v in fresh.data):
            fresh = nulls(len(rows))
    frame.made[name] = frame.column(name).put(rows, fresh)


def _derive(frame: Frame, rows: Array) -> None:
    """Computes again, for rows that were drawn anew, what follows from other columns."""
    for name, recipe in frame.table.recipe.columns.items():
        if recipe.keys() & {"expression", "after"} and name in frame.made:
            frame.made[name] = frame.column(name).put(rows, frame.make(name, rows))
