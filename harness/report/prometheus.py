"""Prometheus metrics of a run: latencies with each budget as an exact bucket bound, leaks,
findings, tables and when each stage last succeeded.

Names and units follow Prometheus' conventions: base units, `_total` for counters. The label
of a quantile is `objective`, for `quantile` belongs to summaries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from hdrh.histogram import HdrHistogram
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.histogram import recorded
from harness.report import prometheus_check
from harness.run import QueryResult, Run

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; the query's own budget is added to them."""


class RunCollector(Collector):
    """Serves the metrics of one run."""

    def __init__(self, run: Run) -> None:
        """Keeps the run."""
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """All metric families that the run has figures for."""
        run = self._run
        yield from _stages(run)
        yield prometheus_check.findings(run.findings)
        if run.deploy is not None or run.fill is not None:
            yield from _tables(run)
        if run.probes:
            yield from _isolation(run)
        if run.load is not None:
            yield from _queries(run.load.queries)


def registry(run: Run) -> CollectorRegistry:
    """A registry that holds the run's metrics and nothing else."""
    own = CollectorRegistry()
    own.register(RunCollector(run))
    return own


def textfile(run: Run) -> str:
    """The metrics in the text exposition format, for node_exporter's textfile collector."""
    return generate_latest(registry(run)).decode()


def _stages(run: Run) -> Iterator[Metric]:
    held = GaugeMetricFamily(
        "harness_run_held", "Whether all that the last run looked at held (1) or not (0)."
    )
    held.add_metric([], float(run.held))
    yield held
    seconds = GaugeMetricFamily(
        "harness_stage_duration_seconds", "How long a stage of the last run took.", labels=["stage"]
    )
    success = GaugeMetricFamily(
        "harness_last_success_timestamp_seconds",
        "When a stage last held, in seconds since 1970.",
        labels=["stage"],
    )
    for stage in run.stages:
        seconds.add_metric([stage.name], stage.seconds)
        if stage.status == "held":
            success.add_metric([stage.name], run.finished_at.timestamp())
    yield from (seconds, success)


def _tables(run: Run) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "harness_schema_tables", "Tables of a schema by state.", labels=["schema", "state"]
    )
    for schema, kinds in (run.deploy.objects if run.deploy else {}).items():
        family.add_metric([schema, "deployed"], kinds.get("tables", 0))
    filled = Counter(t.table.partition(".")[0] for t in (run.fill.tables if run.fill else ()))
    for schema, count in sorted(filled.items()):
        family.add_metric([schema, "filled"], count)
    yield family
    if run.fill is not None:
        rows = GaugeMetricFamily("harness_filled_rows", "Rows that the last fill loaded.")
        rows.add_metric([], run.fill.rows)
        yield rows


def _isolation(run: Run) -> Iterator[Metric]:
    probes = GaugeMetricFamily(
        "harness_isolation_probes",
        "Attempts of the last check to cross the tenant boundary, by verdict.",
        labels=["probe", "verdict"],
    )
    counts = Counter((probe.probe, probe.verdict) for probe in run.probes)
    for labels, count in sorted(counts.items()):
        probes.add_metric(labels, count)
    leaks = GaugeMetricFamily("harness_isolation_leaks", "Attempts that crossed the boundary.")
    leaks.add_metric([], len(run.leaks))
    yield from (probes, leaks)


def _queries(queries: Iterable[QueryResult]) -> Iterator[Metric]:
    latency = HistogramMetricFamily(
        "harness_query_duration_seconds",
        "Latency of critical queries at the driver; the budget is a bucket bound.",
        labels=["query", "mode"],
    )
    budget = GaugeMetricFamily(
        "harness_query_budget_seconds",
        "The latency that a query may take at the objective, a quantile.",
        labels=["query", "objective"],
    )
    within = GaugeMetricFamily(
        "harness_query_within_budget_ratio",
        "Share of answers that took no longer than the budget.",
        labels=["query"],
    )
    held = GaugeMetricFamily(
        "harness_query_budget_held", "Whether the query held its budget.", labels=["query"]
    )
    errors = GaugeMetricFamily(
        "harness_query_errors", "Answers of the last load that were errors.", labels=["query"]
    )
    others = {
        "timeouts": GaugeMetricFamily(
            "harness_query_timeouts", "Statements that timed out.", labels=["query"]
        ),
        "retries": GaugeMetricFamily(
            "harness_query_retries",
            "Serialization failures and deadlocks that were tried again.",
            labels=["query"],
        ),
    }
    verdict = GaugeMetricFamily(
        "harness_query_verdict",
        "1 for the verdict of the last load: pass, miss or inconclusive.",
        labels=["query", "verdict"],
    )
    bound = GaugeMetricFamily(
        "harness_query_latency_bound_seconds",
        "Ends of the confidence interval of the latency at the objective.",
        labels=["query", "objective", "end"],
    )
    foreign = GaugeMetricFamily(
        "harness_query_foreign_rows", "Rows of another tenant in answers.", labels=["query"]
    )
    for query in queries:
        buckets, total_seconds = _buckets(query)
        latency.add_metric([query.name, query.mode], buckets, total_seconds)
        for objective, seconds in _objectives(query):
            budget.add_metric([query.name, objective], seconds)
        within.add_metric([query.name], query.within_budget)
        held.add_metric([query.name], float(query.verdict == "pass"))
        errors.add_metric([query.name], query.errors)
        foreign.add_metric([query.name], query.foreign_rows)
        others["timeouts"].add_metric([query.name], query.timeouts)
        others["retries"].add_metric([query.name], query.retries)
        verdict.add_metric([query.name, query.verdict], 1.0)
        for labels, seconds in _bounds(query):
            bound.add_metric(labels, seconds)
    yield from (latency, budget, within, held, errors, *others.values(), foreign, verdict, bound)


def _objectives(query: QueryResult) -> list[tuple[str, float]]:
    """Quantiles with the seconds that they may take."""
    latencies = [b for b in query.budgets if b.metric != "errors"]
    stated = [(_objective(b.metric), b.limit / 1000) for b in latencies]
    return stated or [(f"{query.quantile:g}", query.budget_ms / 1000)]


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
    bounds = sorted({*_BOUNDS, query.budget_ms / 1000})
    histogram = HdrHistogram.decode(query.histogram) if query.histogram else None
    steps = list(recorded(histogram)) if histogram else []
    counts = [sum(count for value, count in steps if value <= bound * 1e6) for bound in bounds]
    mean = query.latency.mean / 1000 if query.latency else 0.0
    pairs = [(f"{bound:g}", float(count)) for bound, count in zip(bounds, counts, strict=True)]
    return [*pairs, ("+Inf", float(query.samples))], mean * query.samples
