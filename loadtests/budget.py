"""Latencies against budgets: what a histogram says of its query, and the gate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from hdrh.histogram import HdrHistogram

from harness.histogram import recorded
from harness.run import Latency, LoadResult, QueryResult
from loadtests.query import Query
from loadtests.recorder import QueryRecord, new_histogram

MINIMUM_SAMPLES = 20
"""Fewer answers say nothing about a 95th percentile: with 20, the worst one is beyond it."""

EMPTY_SHARE = 0.05
"""So many answers may be empty where the header promises rows: parameters age under writes."""

Verdict = Literal["pass", "miss", "inconclusive"]


def merge(records: Iterable[QueryRecord]) -> HdrHistogram:
    """One histogram of all drivers, exact: buckets are added."""
    merged = new_histogram()
    for record in records:
        merged.decode_and_add(record.histogram)
    return merged


def result(query: Query, records: Iterable[QueryRecord]) -> QueryResult:
    """The query's figures and its verdict."""
    records = tuple(records)
    histogram = merge(records)
    errors = sum(record.errors for record in records)
    empty = sum(record.empty for record in records)
    foreign_rows = sum(record.foreign_rows for record in records)
    latency = _latency(histogram)
    message = next((record.message for record in records if record.message), "")
    verdict, reason = _judge(query, histogram, errors, empty, foreign_rows, message)
    return QueryResult(
        name=query.name,
        title=query.title,
        mode=query.mode,
        budget_ms=query.budget_ms,
        quantile=query.quantile,
        samples=histogram.total_count,
        errors=errors,
        empty=empty,
        foreign_rows=foreign_rows,
        latency=latency,
        within_budget=_share_within(histogram, query.budget_ms),
        histogram=histogram.encode().decode(),
        verdict=verdict,
        reason=reason,
        statement=query.statement,
    )


def gate(load: LoadResult) -> tuple[str, ...]:
    """One line per query that did not hold, naming it and why; empty when all held."""
    return tuple(f"{q.name}: {q.reason}" for q in load.queries if q.verdict != "pass")


def _judge(
    query: Query,
    histogram: HdrHistogram,
    errors: int,
    empty: int,
    foreign_rows: int,
    message: str,
) -> tuple[Verdict, str]:
    samples = histogram.total_count
    if foreign_rows:
        return "miss", f"leak: {message}"
    if errors:
        return "miss", f"{errors} errors, the first: {message}"
    if empty > EMPTY_SHARE * samples:
        promised = f"at least {query.minimum_rows} rows"
        return "miss", f"{empty} of {samples} answers were empty, the header promises {promised}"
    if samples < MINIMUM_SAMPLES:
        return "inconclusive", f"{samples} samples; a verdict needs {MINIMUM_SAMPLES}"
    measured = histogram.get_value_at_percentile(query.quantile * 100) / 1000
    label = f"p{query.quantile * 100:g}"
    if measured > query.budget_ms:
        return "miss", f"{label} {measured:.1f} ms, the budget is {query.budget_ms:g} ms"
    return "pass", f"{label} {measured:.1f} ms of {query.budget_ms:g} ms"


def _latency(histogram: HdrHistogram) -> Latency | None:
    if not histogram.total_count:
        return None
    p50, p95, p99 = (histogram.get_value_at_percentile(p) / 1000 for p in (50, 95, 99))
    mean, longest = histogram.get_mean_value() / 1000, histogram.get_max_value() / 1000
    return Latency(p50, p95, p99, longest, mean)


def _share_within(histogram: HdrHistogram, budget_ms: float) -> float:
    """The share of answers that took no longer than the budget."""
    total = histogram.total_count
    within = sum(count for value, count in recorded(histogram) if value <= budget_ms * 1000)
    return within / total if total else 0.0
