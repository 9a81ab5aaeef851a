"""Divides the rows of a tenant into cohorts, so that memory does not grow with their number.

Each cohort has its share of every table's rows, which refer to parents of the same cohort. Tables
whose number of rows is fixed, and those with few rows, are made once, in the first cohort, and
all cohorts refer to them. How a tenant is divided follows from settings and recipes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from datagen import tenants, volume
from datagen.part import KEY_WIDTH, WHOLE, Cohort
from datagen.plan import FillPlan, TablePlan
from datagen.tenants import Tenant
from harness.catalog.model import Name

COLUMNS = 4
"""A table may have as many values in a cohort as all tables have rows, times this: a table of 20
columns a fifth of the rows. A value takes some 50 bytes in a frame, and as much to encode; of a
row that later tables refer to some 100 bytes are kept."""
FEW = 20
"""Tables with fewer rows per cohort are made once: each cohort needs rows to refer to."""


@dataclass(frozen=True, slots=True)
class Division:
    """How a tenant's rows are divided."""

    of: int
    once: frozenset[Name]
    """Tables that are made in the first cohort only."""

    def cohorts(self) -> Iterator[Cohort]:
        """All cohorts in their order."""
        return (Cohort(index, self.of) for index in range(self.of))

    def cohort_of(self, table: Name, cohort: Cohort) -> Cohort | None:
        """Which of the table's rows are made in a cohort; None where none are."""
        if table not in self.once:
            return cohort
        return WHOLE if cohort.index == 0 else None

    def units(self, tables: int) -> int:
        """How many frames are loaded for so many tables."""
        return tables + (self.of - 1) * (tables - len(self.once))


def divide(the_plan: FillPlan, tenant: Tenant) -> Division:
    """How the tenant's rows are divided."""
    expected = _expected(the_plan, tenant, lambda counts: sum(counts) / 2)
    fixed = _once(the_plan, lambda table: _is_fixed(the_plan, table))
    growing = [t for t in the_plan.tables if t.name not in fixed]
    rows = sum(expected[table.name] for table in growing)
    cells = max((expected[t.name] * len(t.columns) for t in growing), default=0)
    most = the_plan.settings.cohort_rows
    of = max(1, math.ceil(rows / most), math.ceil(cells / (most * COLUMNS)))
    once = _once(
        the_plan,
        lambda table: (
            table.name in fixed or (table.recipe.per is None and expected[table.name] < FEW * of)
        ),
    )
    return Division(of, once if of > 1 else frozenset())


def key_widths(the_plan: FillPlan) -> dict[Name, int]:
    """How many integer keys of each table are a tenant's own: powers of two, as the largest needs,
    however many tenants there are."""
    largest = tenants.make(the_plan.settings.seed, 0, the_plan.settings.skew)
    most = _expected(the_plan, largest, lambda counts: counts[1])
    return {name: max(KEY_WIDTH, 1 << math.ceil(rows).bit_length()) for name, rows in most.items()}


def _expected(
    the_plan: FillPlan, tenant: Tenant, children: Callable[[tuple[int, int]], float]
) -> Mapping[Name, float]:
    """Rows of each table; `children` says how many of them each parent has."""
    expected: dict[Name, float] = {}
    for table in the_plan.tables:
        if (per := table.recipe.per) is None:
            expected[table.name] = volume.rows_of(the_plan, table, tenant)
        else:
            below = _of(expected, _parent(table)) * children(per.counts)
            expected[table.name] = volume.asked(the_plan, table, tenant, below)
    return expected


def _once(the_plan: FillPlan, is_once: Callable[[TablePlan], bool]) -> frozenset[Name]:
    """The tables that are, and those whose rows are so many for each row of one that is."""
    once: set[Name] = set()
    for table in the_plan.tables:
        if is_once(table) or (table.recipe.per is not None and _parent(table) in once):
            once.add(table.name)
    return frozenset(once)


def _is_fixed(the_plan: FillPlan, table: TablePlan) -> bool:
    """Whether the number of its rows does not grow with the scale."""
    alone = any(unique.only_one for unique in table.uniques)
    fixed = table.recipe.per is None and (table.recipe.fixed or table.recipe.rows == 0)
    return alone or fixed or table.name == the_plan.root


def _of(expected: Mapping[Name, float], parent: Name | None) -> float:
    return expected.get(parent, 0) if parent else 0


def _parent(table: TablePlan) -> Name | None:
    per = table.recipe.per
    reference = table.reference_of(per.column) if per else None
    return reference.parent if reference else None
