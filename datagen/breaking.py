"""Which rows of a frame break which of its constraints.

A constraint is looked at again only where one of its columns was drawn anew since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from datagen import spanning
from datagen.apart import belongs
from datagen.constraints import Check, Unique, quoted
from datagen.expression import Expression, UnknownExpression
from datagen.frame import Frame
from datagen.plan import Reference
from datagen.references import orphans
from datagen.repeats import repeated
from datagen.values import Array, Mask, Values, hashable, nulls

FEW = 200
"""Rows up to which a set finds repeated ones sooner than pandas does."""
Constraint = Check | Unique | Reference


@dataclass
class Looked:
    """What was looked at: the columns as they were, and the rows that broke a constraint."""

    frame: Frame
    made: dict[object, dict[str, Values]] = field(default_factory=dict)
    rows: dict[Constraint, Array] = field(default_factory=dict)

    def is_new(self, what: object, names: Iterable[str]) -> bool:
        """Whether something that follows from columns was not asked for before, or one of them
        was drawn anew since."""
        before, made = self.made.get(what), self.frame.made
        self.made[what] = dict(made)
        return before is None or any(_is_new(self.frame, before, name) for name in names)


def broken(
    frame: Frame, checks: Sequence[Check], rows: Array, looked: Looked
) -> dict[Constraint, Array]:
    """Which rows break what; of checks only those of some rows are looked at."""
    return {
        **broken_checks(frame, checks, rows, looked),
        **_broken_uniques(frame, looked),
        **_broken_references(frame, looked),
    }


def broken_checks(
    frame: Frame, checks: Sequence[Check], rows: Array, looked: Looked
) -> dict[Constraint, Array]:
    """Which of the rows break which CHECK; all others are known to hold."""
    for check in checks:
        if looked.is_new(check, check.expression.columns):
            looked.rows[check] = rows[failing(frame, check, rows)]
    return _lost(checks, looked)


def failing(frame: Frame, check: Check, rows: Array) -> Mask:
    """Which of the rows break a CHECK; NULL passes."""
    value = evaluated(frame, check.expression, rows)
    if value is None:
        return np.zeros(len(rows), bool)
    broken_rows: Mask = ~value.null & ~value.data.astype(bool)
    return broken_rows


def evaluated(frame: Frame, expression: Expression, rows: Array) -> Values | None:
    """Its values for some rows; None where the expression can only be judged by PostgreSQL."""

    def lookup(name: str) -> Values:
        values = frame.lookup(name)
        return values if len(rows) == frame.rows else values.take(rows)

    try:
        return expression.evaluate(lookup, len(rows))
    except UnknownExpression:
        return None


def _is_new(frame: Frame, before: dict[str, Values], name: str) -> bool:
    """Whether what is known by a name may be other than before; a row of the frame that another
    one refers to may be any."""
    if name in frame.table.table.columns:
        return frame.made.get(name) is not before.get(name)
    first, dot, _ = name.partition(".")
    reference = frame.table.reference_of(first) if dot else None
    of_own = reference is not None and reference.parent == frame.table.name
    return of_own or frame.made.get(first) is not before.get(first)


def _broken_uniques(frame: Frame, looked: Looked) -> dict[Constraint, Array]:
    """All but the first of the rows that a unique constraint takes for the same."""
    for unique in frame.table.uniques:
        of_predicate = unique.predicate.columns if unique.predicate else ()
        if looked.is_new(unique, (*unique.columns, *of_predicate)):
            looked.rows[unique] = np.flatnonzero(_duplicates(frame, unique))
    return {
        unique: looked.rows[unique] for unique in frame.table.uniques if len(looked.rows[unique])
    }


def _broken_references(frame: Frame, looked: Looked) -> dict[Constraint, Array]:
    """Rows whose columns of several foreign keys lead to no parent."""
    for reference in frame.table.references:
        names = [own for own, _ in reference.columns]
        if reference.parent == frame.table.name:
            names += [other for _, other in reference.columns]
        if looked.is_new(reference, names):
            looked.rows[reference] = orphans(frame, reference)
    return _lost(frame.table.references, looked)


def _lost(constraints: Iterable[Constraint], looked: Looked) -> dict[Constraint, Array]:
    return {each: looked.rows[each] for each in constraints if len(looked.rows[each])}


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
    found = (evaluated(frame, key, every) for key in unique.keys)
    return [nulls(frame.rows) if column is None else column for column in found]


def subject_rows(frame: Frame, unique: Unique) -> Array:
    """The rows that have to differ: the predicate holds, and no NULL makes them so."""
    rows = np.ones(frame.rows, bool)
    if unique.predicate is not None:
        value = evaluated(frame, unique.predicate, np.arange(frame.rows))
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
