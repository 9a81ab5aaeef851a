"""How many rows a fill will make, told before it makes any."""

from __future__ import annotations

from datagen import tenants
from datagen.building import row_count
from datagen.plan import FillPlan, TablePlan
from harness.catalog.model import Name


def rows(the_plan: FillPlan) -> dict[Name, float]:
    """Rows by table, all tenants together; what only statements fill counts as nothing."""
    settings = the_plan.settings
    everyone = [tenants.make(settings.seed, ordinal) for ordinal in range(settings.tenants)]
    expected: dict[Name, float] = {}
    for table in the_plan.tables:
        parent = _blocks_parent(table)
        if parent is None or table.recipe.per is None:
            expected[table.name] = sum(row_count(the_plan, table, t) for t in everyone)
        else:  # a table's parent stands before it, unless it is its own
            mean = sum(table.recipe.per.counts) / 2
            expected[table.name] = mean * expected.get(parent, 0)
    return expected


def _blocks_parent(table: TablePlan) -> Name | None:
    reference = table.reference_of(table.recipe.per.column) if table.recipe.per else None
    return reference.parent if reference else None
