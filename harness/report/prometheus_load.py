"""Prometheus metrics of a load: latencies with each budget as an exact bucket bound, verdicts.

A schema has hundreds of critical queries, so a query has few series: what is 0 for nearly all of
them, as errors are, is given for the others and for the whole load, and so are the ends of a
confidence interval where the verdict is no pass. The label of a quantile is `objective`, for
`quantile` belongs to summaries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hdrh.histogram import HdrHistogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from harness.histogram import recorded
from harness.load_result import LoadResult, QueryResult

BOUNDS = (0.01,)
"""Seconds; the budgets of the query are added. Few, for quantiles are given exactly beside them."""
_COUNTS = {
    "errors": "Answers of the last load that were errors",
    "timeouts": "Statements of the last load that timed out",
    "retries": "Serialization failures and deadlocks that were tried again",
    "foreign_rows": "Rows of another tenant in answers",
}


def families(load: LoadResult) -> Iterator[Metric]:
    """All metric families of a load."""
    yield from _whole(load)
    yield from _promises(load.queries)
    yield from _verdicts(load.queries)
    for name, about in _COUNTS.items():
        family = _gauge(name, f"{about}; absent where there were none.", "query")
        for query in load.queries:
            if count := getattr(query, name):
                family.add_metric([query.name], count)
        yield family
    latency = HistogramMetricFamily(
        "harness_query_duration_seconds",
        "Latency of critical queries at the driver; each budget is a bucket bound.",
        labels=["query", "mode"],
    )
    for query in load.queries:
        latency.add_metric([query.name, query.mode], *_buckets(query))
    yield latency


def _whole(load: LoadResult) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "harness_load_requests_per_second",
        "Requests that the last load had answered per second.",
        load.requests_per_second,
    )
    yield GaugeMetricFamily(
        "harness_load_users", "Connections that asked at the same time.", load.users
    )
    for name, about in _COUNTS.items():
        total = sum(getattr(query, name) for query in load.queries)
        yield GaugeMetricFamily(f"harness_load_{name}", f"{about}, of all queries.", total)


def _promises(queries: Sequence[QueryResult]) -> Iterator[Metric]:
    budget = _gauge(
        "budget_seconds",
        "What a query may take at the objective, a quantile.",
        "query",
        "objective",
    )
    latency = _gauge(
        "latency_seconds", "What a query took at the objective, a quantile.", "query", "objective"
    )
    bound = _gauge(
        "latency_bound_seconds",
        "Ends of the confidence interval of the latency; absent where the query passed.",
        *("query", "objective", "end"),
    )
    for query in queries:
        for objective, limit, measured in _objectives(query):
            budget.add_metric([query.name, objective], limit / 1000)
            if measured is not None:
                latency.add_metric([query.name, objective], measured / 1000)
        for labels, seconds in _bounds(query) if query.verdict != "pass" else ():
            bound.add_metric(labels, seconds)
    yield from (budget, latency, bound)


def _verdicts(queries: Sequence[QueryResult]) -> Iterator[Metric]:
    within = _gauge(
        "within_budget_ratio", "Share of answers that took no longer than the budget.", "query"
    )
    verdict = _gauge(
        "verdict", "1 for the verdict: pass, miss or inconclusive.", "query", "verdict"
    )
    for query in queries:
        within.add_metric([query.name], query.within_budget)
        verdict.add_metric([query.name, query.verdict], 1.0)
    yield from (within, verdict)


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"harness_query_{name}", about, labels=labels)


def _objectives(query: QueryResult) -> list[tuple[str, float, float | None]]:
    """Quantiles with the milliseconds that they may take and took."""
    latencies = [b for b in query.budgets if b.metric != "errors"]
    stated = [(_objective(b.metric), b.limit, b.measured) for b in latencies]
    took = query.latency.p95 if query.latency and query.quantile == 0.95 else None
    return stated or [(f"{query.quantile:g}", query.budget_ms, took)]


def _objective(metric: str) -> str:
    """`0.95` for `p95`."""
    return f"{float(metric[1:]) / 100:g}"


def _bounds(query: QueryResult) -> Iterator[tuple[list[str], float]]:
    for budget in query.budgets:
        for end, value in (("low", budget.low), ("high", budget.high)):
            if value is not None and budget.metric != "errors":
                yield [query.name, _objective(budget.metric), end], value / 1000


def _buckets(query: QueryResult) -> tuple[list[tuple[str, float]], float]:
    """Cumulative (bound, count) pairs and the sum of all latencies in seconds."""
    bounds = sorted({*BOUNDS, *(limit / 1000 for _, limit, _ in _objectives(query))})
    histogram = HdrHistogram.decode(query.histogram) if query.histogram else None
    steps = list(recorded(histogram)) if histogram else []
    counts = [sum(count for value, count in steps if value <= bound * 1e6) for bound in bounds]
    mean = query.latency.mean / 1000 if query.latency else 0.0
    pairs = [(str(bound), float(count)) for bound, count in zip(bounds, counts, strict=True)]
    return [*pairs, ("+Inf", float(query.samples))], mean * query.samples
