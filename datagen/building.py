"""Builds the rows of a table for a tenant: how many there are, and those that hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from datagen import keys
from datagen.frame import Frame, NoParent
from datagen.plan import FillPlan, TablePlan
from datagen.pools import Pools
from datagen.repair import repair
from datagen.tenants import Tenant
from datagen.values import Array
from harness.catalog.model import Name
from harness.errors import HarnessError

SMALLEST = 20
"""A table gets so many rows at any scale, or what its recipe says if that is less."""


def build(
    the_plan: FillPlan,
    table: TablePlan,
    tenant: Tenant,
    pools: Pools,
    parents: Mapping[Name, Frame],
) -> Frame:
    """The rows of a table for a tenant, mended; NoParent where it cannot have any."""
    frame = Frame(the_plan, table, tenant, pools, parents, 0)
    per = table.recipe.per
    if per is not None:
        reference = table.reference_of(per.column)
        if reference is None or reference.parent not in parents:
            raise NoParent(f"{table.name}: {per.column} has no rows to refer to")
        frame.block_parent, frame.ordinal, frame.siblings = _blocks(
            the_plan, table, tenant, parents[reference.parent].rows
        )
        frame.rows = len(frame.block_parent)
    else:
        frame.rows = _row_count(the_plan, table, tenant)
        frame.ordinal, frame.siblings = np.arange(frame.rows), np.full(frame.rows, frame.rows)
    held, broken = repair(frame)
    return frame if held.all() else _without(frame, held, broken)


def _without(frame: Frame, held: Array, broken: Mapping[str, int]) -> Frame:
    """The frame without the rows that could not be mended."""
    if not held.any() and frame.rows:
        names = ", ".join(broken)
        raise HarnessError(f"{frame.table.name}: no row satisfies {names}; write a recipe for it")
    rows = np.flatnonzero(held)
    frame.made = {name: values.take(rows) for name, values in frame.made.items()}
    frame.chosen = {}
    frame.rows = len(rows)
    return frame


def _row_count(the_plan: FillPlan, table: TablePlan, tenant: Tenant) -> int:
    if table.name == the_plan.root:
        return 1
    recipe = table.recipe
    if recipe.fixed:
        return recipe.rows
    scaled = round(recipe.rows * the_plan.settings.scale * tenant.size)
    return max(min(recipe.rows, SMALLEST), scaled)


def _blocks(
    the_plan: FillPlan, table: TablePlan, tenant: Tenant, parents: int
) -> tuple[Array, Array, Array]:
    """Parent row, ordinal within it and number of siblings of each row."""
    assert table.recipe.per is not None  # noqa: S101 - the caller looked
    low, high = table.recipe.per.counts
    seed = the_plan.settings.seed
    rng = keys.generator(seed, tenant.ordinal, table.name, "blocks")
    counts = rng.integers(low, high + 1, parents)
    parent = np.repeat(np.arange(parents), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return parent, np.arange(len(parent)) - first, np.repeat(counts, counts)
