"""How many rows a fill makes: of a table for a tenant, and in all, told by the plan alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from datagen import tenants
from datagen.part import WHOLE, Cohort
from datagen.tenants import Tenant
from datagen.values import Array
from harness.catalog.model import Name
from harness.errors import UsageError

if TYPE_CHECKING:
    from datagen.plan import FillPlan, FillSettings, TablePlan

SMALLEST = 20
"""A table gets so many rows at any scale, or what its recipe says if that is less."""
ELSEWHERE = 0.25
"""A tenant's size in a schema of another industry than its own."""


def rows_of(the_plan: FillPlan, table: TablePlan, tenant: Tenant) -> int:
    """Rows of a table that is not made in blocks below the rows of a parent."""
    wanted = the_plan.settings.rows_of(table.name)
    if wanted is not None and wanted.exactly is not None:
        return wanted.exactly if table.shared else _share(the_plan, wanted.exactly, tenant)
    size = size_in(the_plan, table.name.schema, tenant)
    usual = _usual(table, the_plan.root, the_plan.settings.scale, np.array([size]))
    return round(float(usual[0]) * (wanted.factor if wanted else 1))


def asked(the_plan: FillPlan, table: TablePlan, tenant: Tenant, usual: float) -> float:
    """Rows of a table for a tenant, of which it would have so many if nobody asked for others."""
    wanted = the_plan.settings.rows_of(table.name)
    if wanted is not None and wanted.exactly is not None:
        return _share(the_plan, wanted.exactly, tenant)
    return usual * (wanted.factor if wanted else 1)


def counts_of(
    the_plan: FillPlan, table: TablePlan, tenant: Tenant, counts: Array, cohort: Cohort = WHOLE
) -> Array:
    """Rows below each row of a parent, where a fill is to have other ones than the recipe says."""
    wanted = the_plan.settings.rows_of(table.name)
    if wanted is None:
        return counts
    total = round(asked(the_plan, table, tenant, int(counts.sum())))
    return apportion(total if wanted.exactly is None else cohort.share(total), counts)


def apportion(total: int, weights: Array) -> Array:
    """Whole numbers in the proportions of the weights that sum to exactly `total`."""
    reached = np.cumsum(np.asarray(weights, "float64"))
    if not len(reached) or reached[-1] <= 0:
        return np.zeros(len(reached), "int64")
    edges = np.round(reached / reached[-1] * total).astype("int64")
    return np.diff(edges, prepend=0)


def size_in(the_plan: FillPlan, schema: str, tenant: Tenant) -> float:
    """What multiplies the rows of a tenant in a schema: less where its trade is another one."""
    industry = the_plan.industries.get(schema)
    at_home = industry is None or tenant.industry in (industry, "multi")
    return tenant.size * (1 if at_home else ELSEWHERE)


def expected(the_plan: FillPlan) -> dict[Name, Array]:
    """About how many rows each table of the plan gets, by tenant: those that are loaded, and
    those that statements and triggers add, as far as the recipe says."""
    every = _everybody(the_plan.settings)
    rows: dict[Name, Array] = {}
    for table in the_plan.tables:
        sizes = np.array([size_in(the_plan, table.name.schema, tenant) for tenant in every])
        recipe = table.recipe
        base, scaled = recipe.derived
        added = base + scaled * the_plan.settings.scale * sizes
        rows[table.name] = _loaded(the_plan, table, sizes, rows) + added
        if table.shared:  # made once, as for the largest
            rows[table.name][1:] = 0
    return rows


def by_table(the_plan: FillPlan) -> dict[Name, float]:
    """About how many rows each table gets, all tenants together."""
    return {name: float(rows.sum()) for name, rows in expected(the_plan).items()}


def total(the_plan: FillPlan) -> int:
    """About how many rows the fill has in all."""
    return round(sum(by_table(the_plan).values()))


def scale_for(the_plan: FillPlan, rows: int) -> float:
    """The scale, to three digits, at which the fill has about so many rows in all.

    UsageError where even the smallest scale gives more than half as many again.
    """
    low, high = -4.0, 6.0
    if (least := _at(the_plan, 10**low)) > 1.5 * rows:
        raise UsageError(
            f"{the_plan.settings.tenants} tenants have {least:,} rows at the smallest scale, more"
            f" than {rows:,}; give fewer --tenants or a larger --scale"
        )
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _at(the_plan, 10**middle) < rows else (low, middle)
    return float(f"{10**low:.3g}")


def _at(the_plan: FillPlan, scale: float) -> int:
    return total(replace(the_plan, settings=replace(the_plan.settings, scale=scale)))


def _loaded(the_plan: FillPlan, table: TablePlan, sizes: Array, rows: dict[Name, Array]) -> Array:
    wanted = the_plan.settings.rows_of(table.name)
    if wanted is not None and wanted.exactly is not None:
        share: Array = _sizes(the_plan.settings) / _sizes(the_plan.settings).sum()
        return share * wanted.exactly
    if table.recipe.per is None:
        usual = _usual(table, the_plan.root, the_plan.settings.scale, sizes)
    else:
        reference = table.reference_of(table.recipe.per.column)
        parents = rows.get(reference.parent) if reference else None
        mean = sum(table.recipe.per.counts) / 2
        usual = np.zeros(len(sizes)) if parents is None else parents * mean
    return np.multiply(usual, wanted.factor if wanted else 1, dtype="float64")


def _usual(table: TablePlan, root: Name, scale: float, sizes: Array) -> Array:
    recipe = table.recipe
    alone = recipe.rows > 0 and any(unique.only_one for unique in table.uniques)
    if table.name == root or alone:
        return np.ones(len(sizes))
    if recipe.fixed:
        return np.full(len(sizes), float(recipe.rows))
    return np.maximum(min(recipe.rows, SMALLEST), np.round(recipe.rows * scale * sizes))


def _share(the_plan: FillPlan, rows: int, tenant: Tenant) -> int:
    """A tenant's part of rows that are shared out by the sizes of the tenants."""
    return int(apportion(rows, _sizes(the_plan.settings))[tenant.ordinal])


def _sizes(wanted: FillSettings) -> Array:
    return np.array([tenant.size for tenant in _everybody(wanted)])


def _everybody(wanted: FillSettings) -> tuple[Tenant, ...]:
    return _every(wanted.seed, wanted.tenants, wanted.skew)


_every = cache(tenants.every)
