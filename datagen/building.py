"""Builds the rows of a table for a tenant: how many there are, and those that hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from datagen import keys, volume
from datagen.frame import Frame, NoParent, Parent
from datagen.part import Part
from datagen.plan import FillPlan, TablePlan
from datagen.pools import Pools
from datagen.repair import repair
from datagen.tenants import Tenant
from datagen.unmet import RECIPE
from datagen.values import Array
from harness.catalog.model import Name
from harness.errors import HarnessError

_UNEXPECTED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What numpy and Python say of a schema that was not thought of: a table less, not all."""


def build(
    the_plan: FillPlan,
    table: TablePlan,
    tenant: Tenant,
    pools: Pools,
    parents: Mapping[Name, Parent],
    part: Part = Part(),  # noqa: B008 - frozen
) -> Frame:
    """The rows of a table for a tenant, mended; NoParent where it cannot have any."""
    frame = lay_out(the_plan, table, tenant, pools, parents, part)
    try:
        held, broken = repair(frame)
    except _UNEXPECTED as error:
        told = f"{table.name}: its values could not be made ({error!r}); {RECIPE}"
        raise HarnessError(told) from error
    return frame if held.all() else _without(frame, held, broken)


def lay_out(
    the_plan: FillPlan,
    table: TablePlan,
    tenant: Tenant,
    pools: Pools,
    parents: Mapping[Name, Parent],
    part: Part,
) -> Frame:
    """A frame of as many rows as the table is to have, without values."""
    _require_place(the_plan, table, parents)
    frame = Frame(the_plan, table, tenant, pools, parents, 0, part)
    per = table.recipe.per
    if per is not None:
        reference = table.reference_of(per.column)
        if reference is None or reference.parent not in parents:
            raise NoParent(f"{table.name}: {per.column} has no rows to refer to")
        _block(frame, parents[reference.parent].rows, per.counts)
    else:
        total = volume.rows_of(the_plan, table, tenant)
        frame.rows = part.cohort.share(total)
        frame.ordinal = part.first + np.arange(frame.rows)
        frame.siblings = np.full(frame.rows, total)
    frame.numbered = frame.rows
    return frame


def _require_place(the_plan: FillPlan, table: TablePlan, parents: Mapping[Name, Parent]) -> None:
    """HarnessError where no row of the table can be there, whatever it is."""
    if table.table.partition_by is not None and not the_plan.catalog.partitions.get(table.name):
        raise HarnessError(
            f"{table.name}: it is partitioned and has no partition; create one, or a DEFAULT one"
        )
    if table.cycle:
        others = " and ".join(map(str, table.cycle))
        raise HarnessError(
            f"{table.name}: its rows and those of {others} need each other first; let a column of"
            " one of the foreign keys be NULL"
        )
    of_root = (key for key in table.table.foreign_keys if key.references == the_plan.root)
    if the_plan.root not in parents and any(table.tenant_column in k.columns for k in of_root):
        raise NoParent(f"{table.name}: {the_plan.root} has no rows to refer to")


def _without(frame: Frame, held: Array, broken: Mapping[str, int]) -> Frame:
    """The frame without the rows that could not be mended."""
    if not held.any() and frame.rows and not frame.part.first:
        names = " and ".join(dict.fromkeys([*broken, *_beside(frame.table, broken)]))
        raise HarnessError(f"{frame.table.name}: no row satisfies {names}; {RECIPE}")
    frame.missed = dict(broken)
    frame.keep(np.flatnonzero(closed(frame, held)))
    return frame


def _beside(table: TablePlan, broken: Mapping[str, int]) -> list[str]:
    """Other checks of the same columns, with which those that are broken may be at odds."""
    columns = {check.expression.columns for check in table.checks if check.name in broken}
    own = (check for check in table.checks if not check.of_domain)
    return [check.name for check in own if check.expression.columns in columns]


def closed(frame: Frame, held: Array) -> Array:
    """The rows that hold and do not refer to one of the table that does not."""
    own = [chosen for r, chosen in frame.chosen.items() if r.parent == frame.table.name]
    while True:
        lost = np.zeros(frame.rows, bool)
        for chosen in own:
            lost |= held & (chosen >= 0) & ~held[chosen]
        if not lost.any():
            return held
        held = held & ~lost


def _block(frame: Frame, parents: int, counts: tuple[int, int]) -> None:
    """Parent row, ordinal within it and number of siblings of each row."""
    low, high = counts
    seed, cohort = frame.plan.settings.seed, frame.part.cohort.index
    rng = keys.generator(seed, frame.tenant.ordinal, frame.table.name, "blocks", cohort=cohort)
    usual = rng.integers(low, high + 1, parents)
    drawn = volume.counts_of(frame.plan, frame.table, frame.tenant, usual, frame.part.cohort)
    first = np.repeat(np.cumsum(drawn) - drawn, drawn)
    frame.block_parent = np.repeat(np.arange(parents), drawn)
    frame.rows = len(first)
    frame.ordinal, frame.siblings = np.arange(frame.rows) - first, np.repeat(drawn, drawn)
