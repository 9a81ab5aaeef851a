"""What is tried beside a run, as values: a drill, growth, what row security costs."""

from __future__ import annotations

from harness.drill_result import DrillFinding, DrillResult, DrillStep
from harness.growth_result import Fit, GrowthPoint, QueryGrowth, Shape
from harness.rls_cost_result import QueryRlsCost

DRILL = DrillResult(
    330.0,
    (DrillStep("full backup", 41.5, 3 * 2**20), DrillStep("change", 0.1, 0, "a row")),
    {"rows": 990, "policies": 1_980},
    rows=344_030,
    notes=("a dump holds no roles: pg_dumpall --roles-only keeps them",),
)
LOST = DrillFinding("dump", "policies", "rest.<check>", "is missing")


def cost(name: str, ratio: float, note: str = "") -> QueryRlsCost:
    """A query that takes so many times 0.4 ms under row security."""
    return QueryRlsCost(name, "A list.", 20, 0.4 * ratio, 0.4, ratio, ratio, ratio, 9, 8, note)


def growth(name: str, shape: Shape, slope: float) -> QueryGrowth:
    """A query whose blocks follow that law."""
    fit = Fit(shape, slope, slope, slope, 1.0, 88_000, 80_000, 99_000)
    points = (GrowthPoint("0.01", "t", 10, 20, 0.1, 9), GrowthPoint("0.04", "t", 40, 80, 0.4, 9))
    return QueryGrowth(name, "A list.", "rest.check", 9_000, buffers=fit, points=points)
