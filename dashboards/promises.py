"""Recorded series of what critical queries promise, from the headers and harness.toml that the gate
reads: so an alert knows of a query that was not measured, and of one that was held to less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from loadtests.budget import Budget
from loadtests.query import Query

PROMISE = "harness:query_promise:seconds"
ERROR_BUDGET = "harness:query_error_budget:ratio"


def rules(queries: Iterable[Query]) -> list[dict[str, object]]:
    """Recording rules: each budget on a latency, and the share of answers that may be over it."""
    return [rule for query in queries for rule in _of(query)]


def _of(query: Query) -> Iterator[dict[str, object]]:
    for budget in (b for b in query.budgets if b.metric != "errors"):
        yield _constant(
            PROMISE, budget.limit / 1000, {"query": query.name, "objective": _objective(budget)}
        )
    allowed = 1 - query.latency_budget.quantile
    yield _constant(ERROR_BUDGET, allowed, {"query": query.name})


def _constant(name: str, value: float, labels: dict[str, str]) -> dict[str, object]:
    return {"record": name, "expr": f"vector({value:.6g})", "labels": labels}


def _objective(budget: Budget) -> str:
    """`0.95` for `p95`, as the exporter's label has it."""
    return f"{budget.quantile:g}"
