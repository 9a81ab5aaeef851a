"""Makes rows satisfy CHECKs and uniqueness by local search, as WalkSAT does.

Rows that break a constraint get a fresh value in one of its columns, chosen at random among
those that no recipe fixes, or two timestamps change places; after some rounds almost none is
left, and those that are left out. All rows that break something are mended at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from datagen import spanning
from datagen.apart import belongs
from datagen.constraints import Check, Unique, quoted
from datagen.expression import Expression, UnknownExpression, compile_expression
from datagen.fitting import resized
from datagen.frame import KEEP_NULL, PARENT_CHOICE, Frame
from datagen.generators import knows_domain
from datagen.plan import Reference
from datagen.references import orphans
from datagen.repeats import repeated
from datagen.values import Array, Mask, Values, are_texts, constant, hashable, nulls, objects

ROUNDS = 120
FEW = 200
"""Rows up to which a set finds repeated ones sooner than pandas does."""
SOME = 64
"""Rows by which a generator is judged."""
Constraint = Check | Unique | Reference
Looked = dict[Unique, tuple[list[Values], Array]]
"""By constraint the columns that were looked at last, and the rows that broke it."""


def repair(frame: Frame) -> tuple[Mask, dict[str, int]]:
    """Mends the frame in place; returns which rows hold, and how many broke each constraint.

    Only rows that broke something are drawn anew, so only they are looked at again.
    """
    for column in frame.table.columns:
        frame.column(column.name)
    checks = [check for check in frame.table.checks if _needs_a_look(frame, check)]
    suspects = np.arange(frame.rows)
    looked: Looked = {}
    for attempt in range(1, ROUNDS + 1):
        broken = _broken(frame, checks, suspects, looked)
        if not broken:
            return np.ones(frame.rows, bool), {}
        frame.attempt = attempt
        for constraint, rows in broken.items():
            _mend(frame, constraint, rows)
        suspects = _rows_of(broken, frame.rows)
        _derive(frame, suspects)
    left = _broken(frame, checks, np.arange(frame.rows), looked)
    held = np.ones(frame.rows, bool)
    for rows in left.values():
        held[rows] = False
    return held, {_name(constraint): len(rows) for constraint, rows in left.items()}


def _rows_of(broken: Mapping[Constraint, Array], rows: int) -> Array:
    """The rows that break something, in their order."""
    found = np.zeros(rows, bool)
    for those in broken.values():
        found[those] = True
    return np.flatnonzero(found)


def redraw(frame: Frame, rows: Array, number: int) -> None:
    """Draws rows anew that PostgreSQL refused, the `number`-th time; what their checks say of
    them holds again where it can."""
    checks = [check for check in frame.table.checks if _needs_a_look(frame, check)]
    frame.attempt = ROUNDS * (number + 2)
    for column in frame.table.columns:
        if column.name != frame.table.key and _is_free(frame, column.name):
            _renew(frame, column.name, rows)
    _derive(frame, rows)
    for _ in range(ROUNDS):
        broken = _broken_checks(frame, checks, rows)
        if not broken:
            return
        frame.attempt += 1
        for constraint, failed in broken.items():
            _mend(frame, constraint, failed)
        _derive(frame, rows)


def _needs_a_look(frame: Frame, check: Check) -> bool:
    """A domain's check is not looked at where all of the first values pass: its generator knows
    the domain."""
    if check.by_construction or not check.of_domain:
        return not check.by_construction
    if not _broken_checks(frame, [check], np.arange(min(SOME, frame.rows))):
        return False
    frame.doubtful |= check.expression.columns
    return True


def _broken(
    frame: Frame, checks: list[Check], rows: Array, looked: Looked
) -> dict[Constraint, Array]:
    """Which rows break what; of checks only those of some rows are looked at."""
    lost = {reference: orphans(frame, reference) for reference in frame.table.references}
    return {
        **_broken_checks(frame, checks, rows),
        **_broken_uniques(frame, looked),
        **{reference: found for reference, found in lost.items() if len(found)},
    }


def _broken_checks(frame: Frame, checks: list[Check], rows: Array) -> dict[Constraint, Array]:
    """Which of the rows break which CHECK; NULL passes."""
    broken: dict[Constraint, Array] = {}
    for check in checks:
        value = _evaluate(frame, check.expression, rows)
        if value is not None and (failed := ~value.null & ~value.data.astype(bool)).any():
            broken[check] = rows[failed]
    return broken


def _broken_uniques(frame: Frame, looked: Looked) -> dict[Constraint, Array]:
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


def _name(constraint: Constraint) -> str:
    if isinstance(constraint, Reference):
        return f"the foreign key to {constraint.parent}"
    return constraint.name


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
    columns = [column.take(at) for column in unique_values(frame, unique)]
    if len(at) > 1:
        found[at] = _repeated(columns) if columns else np.arange(len(at)) > 0
    if unique.name in frame.part.seen:
        found[at] |= spanning.among(frame.part.seen[unique.name], columns, len(at))
    if unique.across and columns:
        found[at] |= ~_of_the_tenant(frame, columns)
    return found


def unique_values(frame: Frame, unique: Unique) -> list[Values]:
    """What has to be distinct, column by column; of an expression that only PostgreSQL knows,
    NULL."""
    every = np.arange(frame.rows)
    found = (_evaluate(frame, key, every) for key in unique.keys)
    return [nulls(frame.rows) if column is None else column for column in found]


def subject_rows(frame: Frame, unique: Unique) -> Array:
    """The rows that have to differ: the predicate holds, and no NULL makes them so."""
    rows = np.ones(frame.rows, bool)
    if unique.predicate is not None:
        value = _evaluate(frame, unique.predicate, np.arange(frame.rows))
        if value is not None:
            rows &= ~value.null & value.data.astype(bool)
    if not unique.nulls_equal:
        for column in unique_values(frame, unique):
            rows &= ~column.null
    return np.flatnonzero(rows)


def _of_the_tenant(frame: Frame, columns: list[Values]) -> Mask:
    """Rows of which no other tenant has the like, for one of the values is only this one's."""
    tenants = frame.plan.settings.tenants
    own: Mask = np.any([belongs(column, frame.tenant, tenants) for column in columns], axis=0)
    return own


def _is_own_key(frame: Frame, unique: Unique) -> bool:
    """A key that is computed from the row number needs no look."""
    key = frame.table.key
    return key is not None and any(each.text == quoted(key) for each in unique.keys)


def _repeated(columns: list[Values]) -> Mask:
    """Which rows are like one before them."""
    if len(columns[0]) > FEW:
        return repeated(columns)
    rows = list(zip(*(hashable(column) for column in columns), strict=True))
    first = {row: position for position, row in reversed(list(enumerate(rows)))}
    return np.array([first[row] != position for position, row in enumerate(rows)])


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
    fresh = _evaluate(frame, expression, rows)
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
    """Every other time something that the schema itself mentions: a constant that a CHECK
    compares the column with, its default, the same text in lower or upper case."""
    if name in frame.table.recipe.columns or frame.attempt % 2 or not len(fresh):
        return fresh
    rng = frame.generator(name, "variant")
    column = frame.table.table.columns[name]
    constants = frame.table.told.constants.get(name, [])
    options: list[Values | None] = [_as_text(constant, fresh) for constant in constants]
    options.append(_default(column.default, fresh))
    trusted = knows_domain(column, frame.plan.catalog) and name not in frame.doubtful
    if not trusted and name not in frame.table.told.choices:
        sizes = frame.table.told.sizes.get(name, [])
        options += [_sized(fresh, max(int(s) + more, 0)) for s in sizes for more in (0, 1, -1)]
        options += [_cased(fresh, str.lower), _cased(fresh, str.upper)]
    found = [option for option in options if option is not None]
    return found[int(rng.integers(len(found)))] if found else fresh


def _as_text(value: Any, like: Values) -> Values | None:
    """A constant of the type of other values."""
    number = isinstance(value, int | float) and like.data.dtype.kind in "if"
    if isinstance(value, str) and like.data.dtype == object:
        return constant(value.replace("%", "a"), len(like)) if are_texts(like.data) else None
    return constant(value, len(like)) if number else None


def _default(text: str | None, like: Values) -> Values | None:
    """The column's default, where it is a constant."""
    if text is None or "(" in text.partition("'")[0]:
        return None
    try:
        made = compile_expression(text).evaluate(_no_column, len(like))
    except UnknownExpression:
        return None
    return made if made.data.dtype.kind == like.data.dtype.kind and not made.null.any() else None


def _no_column(name: str) -> Values:
    raise UnknownExpression(f"{name} is a column")


def _sized(values: Values, size: int) -> Values | None:
    """Texts or arrays of a length."""
    items = values.data.tolist()
    if not all(isinstance(item, str | list) for item in items):
        return None
    return Values(objects([resized(item, size, size) for item in items]), values.null)


def _cased(values: Values, change: Callable[[str], str]) -> Values | None:
    if not are_texts(values.data):
        return None
    return Values(objects([change(text) for text in values.data.tolist()]), values.null)


def _derive(frame: Frame, rows: Array) -> None:
    """Computes again, for rows that were drawn anew, what follows from other columns."""
    for name, recipe in frame.table.recipe.columns.items():
        if recipe.keys() & {"expression", "after"} and name in frame.made:
            frame.made[name] = frame.column(name).put(rows, frame.make(name, rows))
    for name, column in frame.table.table.columns.items():
        if column.generated is not None and name in frame.made:
            frame.made[name] = frame.make(name, np.arange(frame.rows))
