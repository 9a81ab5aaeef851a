"""Why a query missed: what its plan shows, what it waited for, and how to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.load_result import LoadResult, Plan, QueryResult
from loadtests.plans import Captured
from loadtests.query import Query
from loadtests.waits import Waits

_BLOCK_KB = 8
_SLEEPS = "Timeout PgSleep"


def explained(
    load: LoadResult,
    queries: Mapping[str, Query],
    captured: Captured,
    waits: Mapping[str, Waits],
    reproduce: str,
    tenant_column: str,
) -> LoadResult:
    """The load with every query's plan, or why it has none, and an explanation of those over a
    budget.

    `reproduce` is the command up to the name of a query.
    """
    results = tuple(
        replace(result, plan=captured.plans.get(result.name)) for result in load.queries
    )
    told = (
        result
        if not _is_over(result)
        else replace(
            result,
            explanation=(
                *_why(result, queries[result.name], waits.get(result.name), tenant_column),
                f"again: {reproduce} --only {shlex.quote(result.name)}",
            ),
        )
        for result in results
    )
    return replace(load, queries=tuple(told), notes=(*load.notes, *_planless(captured.refused)))


def _planless(refused: Mapping[str, str]) -> Iterator[str]:
    """Signals that a run lacks: without a plan, nothing but noise tells a regression."""
    for name, error in sorted(refused.items()):
        yield f"{name} has no plan: {error}"


def _is_over(result: QueryResult) -> bool:
    """Whether there is something to explain: a miss, or a percentile that is over its budget."""
    over = (b.measured is not None and b.measured > b.limit for b in result.budgets)
    return result.verdict == "miss" or any(over)


def _why(
    result: QueryResult, query: Query, waits: Waits | None, tenant_column: str
) -> Iterator[str]:
    if waits is not None:
        yield from waits.told()
        if waits.events[_SLEEPS] * 2 > waits.events.total():
            yield "it sleeps: a pg_sleep is in the query or in a function that it calls"
    if not {tenant_column, "business_id"} & set(query.parameters):
        yield f"it does not filter on {tenant_column} itself, so row security alone narrows it"
    yield from _classes(result)
    if result.plan is not None:
        yield from _plan(result.plan)


def _classes(result: QueryResult) -> Iterator[str]:
    if result.classes:
        each = (
            f"{c.tenants} p50 {c.latency.p50:.1f}, p95 {c.latency.p95:.1f}" for c in result.classes
        )
        yield f"by class of tenant, in ms: {'; '.join(each)}"


def _plan(plan: Plan) -> Iterator[str]:
    yield from plan.remarks
    if plan.temp_blocks:
        yield f"writes {plan.temp_blocks * _BLOCK_KB:,} kB of temporary files: more than work_mem"
    yield (
        f"alone it takes {plan.milliseconds:.1f} ms and touches {plan.buffers:,} blocks; its plan:"
    )
    yield from (f"  {line}" for line in plan.outline)
