"""harness load --rls-cost: what row security adds to each query."""

from __future__ import annotations

from pathlib import Path

from harness.cli import recording
from harness.cli.options import Context
from harness.report import rls_cost as telling
from harness.verdict import Verdict
from loadtests.rls_cost import costing
from loadtests.rls_cost.costing import CostSettings


def rls_cost(
    ctx: Context, wanted: CostSettings, output: Path | None = None, owned: str | None = None
) -> bool:
    """Compares, tells and writes; whether the median query keeps the promise and no query is kept
    from its plan."""
    with ctx.target() as target, recording.record("rls-cost", target, output) as recorded:
        with ctx.progress("Comparing") as moved:
            result = costing.compare(target, ctx.settings, wanted, owned, moved)
        recorded.rls_cost = result
        found = costing.findings(result)
        recorded.verdict = Verdict(found, fail_on=ctx.settings.checks.fail_on)
    if not ctx.quiet:
        telling.print_rls_cost(result, found, ctx.console)
    return result.held and not recorded.verdict.failed
