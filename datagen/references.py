"""Which rows the foreign keys of a frame lead to, also where two of them share columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from datagen.plan import Reference
from datagen.values import Array, hashable

if TYPE_CHECKING:
    from datagen.frame import Frame, Parent


def skewed(rng: np.random.Generator, parents: int, rows: int, exponent: float | None) -> Array:
    """Parent rows: each equally likely, or the first ones more so by a power law."""
    if exponent is None:
        return rng.integers(0, parents, rows)
    weights = 1 / np.arange(1, parents + 1) ** exponent
    reached = np.cumsum(weights) / weights.sum()
    return np.searchsorted(reached, rng.random(rows)).clip(0, parents - 1)


def among(rng: np.random.Generator, parent: Parent, rows: int, recipe: Mapping[str, Any]) -> Array:
    """Parent rows; with `among` of those alone that have a value in that column, -1 without any."""
    if "among" not in recipe:
        return skewed(rng, parent.rows, rows, recipe.get("zipf"))
    eligible = np.flatnonzero(~parent.lookup(recipe["among"]).null)
    if not len(eligible):
        return np.full(rows, -1)
    picked: Array = eligible[skewed(rng, len(eligible), rows, recipe.get("zipf"))]
    return picked


def agreeing(
    frame: Frame, reference: Reference, rows: Array, picked: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Parents that have the values that columns have already, for they belong to another
    foreign key, too; and the rows for which there is none."""
    others = _agrees(frame, reference)
    parent = frame.parent(reference)
    missing = np.zeros(len(rows), bool)
    if not others or parent is None or parent is frame:
        return picked, missing
    ours = zip(*(hashable(frame.column(own).take(rows)) for own, _ in others), strict=True)
    theirs = zip(*(hashable(parent.column(other)) for _, other in others), strict=True)
    found: dict[Any, list[int]] = {}
    for row, key in enumerate(theirs):
        found.setdefault(key, []).append(row)
    picked, draws = picked.copy(), rng.random(len(rows))
    for position, key in enumerate(ours):
        candidates = found.get(key)
        if candidates:
            picked[position] = candidates[int(draws[position] * len(candidates))]
        else:
            missing[position] = None not in key
    return picked, missing


def _agrees(frame: Frame, reference: Reference) -> list[tuple[str, str]]:
    """Columns of a foreign key whose values do not follow from its parent: they belong to
    another one, too, or the database computes them."""
    return [
        (own, other)
        for own, other in reference.columns
        if frame.table.reference_of(own) != reference
        or frame.table.table.columns[own].generated is not None
    ]


def orphans(frame: Frame, reference: Reference) -> Array:
    """Rows whose columns of several foreign keys lead to no parent."""
    if not _agrees(frame, reference):
        return np.zeros(0, "int64")
    parent = frame.parent(reference)
    if parent is None:
        return np.zeros(0, "int64")
    theirs = set(zip(*(hashable(parent.column(c)) for _, c in reference.columns), strict=True))
    ours = zip(*(hashable(frame.column(c)) for c, _ in reference.columns), strict=True)
    return np.array(
        [row for row, key in enumerate(ours) if None not in key and key not in theirs], "int64"
    )
