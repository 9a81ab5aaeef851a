"""Latencies against budgets: what a histogram says of its query, and the gate.

A budget on a latency is held when the upper end of the percentile's confidence interval keeps
it, and missed when the lower end breaks it. Between them the samples do not decide:
INCONCLUSIVE, which the gate does not let pass, and which says how many samples would. Errors
are counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hdrh.histogram import HdrHistogram

from harness.histogram import recorded
from harness.load_result import (
    BudgetResult,
    ClassLatency,
    Latency,
    LoadResult,
    QueryResult,
    Verdict,
)
from loadtests import confidence
from loadtests.budget import Budget
from loadtests.query import Query
from loadtests.recorder import QueryRecord, new_histogram

EMPTY_SHARE = 0.05
"""So many answers may be empty where the header promises rows: parameters age under writes."""


def merge(encoded: Iterable[str]) -> HdrHistogram:
    """One histogram of all drivers, exact: buckets are added."""
    merged = new_histogram()
    for histogram in encoded:
        merged.decode_and_add(histogram)
    return merged


def result(query: Query, records: Iterable[QueryRecord], delay_ms: float = 0.0) -> QueryResult:
    """The query's figures and its verdict; `delay_ms` of a latency may be the driver's own."""
    tally = _Tally(query, tuple(records))
    budgets = tuple(tally.judge(budget, delay_ms) for budget in query.budgets)
    verdict, reason = _overall(tally, budgets)
    first, leaks = query.latency_budget, tally.leaks
    service = merge(r.service for r in tally.records if r.service)
    return QueryResult(
        name=query.name,
        title=query.title,
        mode=query.mode,
        budget_ms=first.limit,
        quantile=first.quantile,
        samples=tally.samples,
        errors=tally.errors,
        empty=tally.empty,
        foreign_rows=sum(record.foreign_rows for record in tally.records),
        latency=latency(tally.histogram),
        within_budget=tally.within(first.limit),
        histogram=tally.histogram.encode().decode(),
        verdict=verdict,
        reason=reason,
        statement=query.statement,
        budgets=budgets,
        timeouts=tally.timeouts,
        retries=sum(record.retries for record in tally.records),
        service=latency(service),
        classes=tuple(_classes(tally.records)),
        leaks=leaks,
    )


def gate(load: LoadResult) -> tuple[str, ...]:
    """One line per query that did not hold, naming it and why; empty when all held."""
    worse = load.comparison.regressions if load.comparison else ()
    return (
        *(f"{q.name}: {q.reason}" for q in load.queries if q.verdict != "pass"),
        *(f"{r.query}: regression: {r.detail}" for r in worse),
    )


def doubted(found: QueryResult, unserved: int) -> QueryResult:
    """A result of an open model that lost arrivals: no PASS, for those would have been slowest."""
    if found.verdict != "pass":
        return found
    reason = f"{found.reason}; {unserved} requests that were due got no connection"
    return replace(found, verdict="inconclusive", reason=reason)


def excused(load: LoadResult, lacking: Mapping[str, str]) -> LoadResult:
    """The load with the reason why queries that nobody could ask have no samples."""
    queries = (
        replace(q, reason=f"{q.reason}: {lacking[q.name]}") if q.name in lacking else q
        for q in load.queries
    )
    return replace(load, queries=tuple(queries))


def rowless(queries: Iterable[Query], results: Iterable[QueryResult]) -> Iterator[str]:
    """In a line, queries that hardly ever found a row; those whose header promises one miss."""
    found = {result.name: result for result in results}
    told = [
        f"{query.name} (empty in {result.empty} of {answers} calls)"
        for query in queries
        if (result := found[query.name]).empty and not query.minimum_rows
        if result.empty >= (1 - EMPTY_SHARE) * (answers := result.samples - result.timeouts)
    ]
    if told:
        yield f"what was measured found nothing, as their headers allow: {', '.join(told)}"


def latency(histogram: HdrHistogram) -> Latency | None:
    """What a histogram of microseconds says in milliseconds; None where it is empty."""
    if not histogram.total_count:
        return None
    p50, p95, p99 = (histogram.get_value_at_percentile(p) / 1000 for p in (50, 95, 99))
    steps = tuple(recorded(histogram))
    mean = sum(value * count for value, count in steps) / histogram.total_count / 1000
    return Latency(p50, p95, p99, steps[-1][0] / 1000, mean)


class _Tally:
    """All drivers' records of a query, added up."""

    def __init__(self, query: Query, records: tuple[QueryRecord, ...]) -> None:
        self.query = query
        self.records = records
        self.histogram = merge(h for record in records for h in record.response.values())
        self.samples: int = self.histogram.total_count
        self.errors = sum(record.errors for record in records)
        self.timeouts = sum(record.timeouts for record in records)
        self.empty = sum(record.empty for record in records)
        self.leaks = tuple(leak for record in records for leak in record.leaks)
        self.message = next((record.message for record in records if record.message), "")
        self._steps = tuple(recorded(self.histogram))

    def within(self, limit_ms: float) -> float:
        """The share of answers that took no longer."""
        within = sum(count for value, count in self._steps if value <= limit_ms * 1000)
        return within / self.samples if self.samples else 0.0

    def judge(self, budget: Budget, delay_ms: float) -> BudgetResult:
        """The verdict on one budget."""
        if budget.metric == "errors":
            return self._judge_errors(budget)
        return self._judge_latency(budget, delay_ms)

    def _judge_errors(self, budget: Budget) -> BudgetResult:
        requests = self.samples + self.errors
        failed = self.errors + self.timeouts
        share = failed / requests if requests else 0.0
        verdict: Verdict = "miss" if share > budget.limit else "pass"
        return BudgetResult("errors", budget.limit, verdict, self._told_errors(budget), share)

    def _told_errors(self, budget: Budget) -> str:
        kinds = {"error": self.errors, "timeout": self.timeouts}
        counted = (f"{n} {kind}{'s' * (n > 1)}" for kind, n in kinds.items() if n)
        told = ", ".join(counted) or "no errors"
        allowed = f" (the budget is {budget.limit:.3%})" if budget.limit else ""
        return f"{told}{allowed}{f', the first: {self.message}' if self.message else ''}"

    def _judge_latency(self, budget: Budget, delay_ms: float) -> BudgetResult:
        lower, upper = confidence.ranks(self.samples, budget.quantile)
        low, high = self._at(lower), self._at(upper)
        measured = self.histogram.get_value_at_percentile(budget.quantile * 100) / 1000
        needed = 0
        if high is not None and high <= budget.limit:
            verdict: Verdict = "pass"
        elif low is not None and low - delay_ms > budget.limit:
            verdict = "miss"
        else:
            verdict = "inconclusive"
            needed = self._needed(budget)
        told = self._told_latency(budget, measured, low, high)
        if verdict == "inconclusive":
            told = f"{told}; {self._doubt(low, budget, needed)}" if self.samples else "no samples"
        at = measured if self.samples else None
        return BudgetResult(budget.metric, budget.limit, verdict, told, at, low, high, needed)

    def _told_latency(
        self, budget: Budget, measured: float, low: float | None, high: float | None
    ) -> str:
        between = f"[{_ms(low)}, {_ms(high)}]"
        if measured > budget.limit:
            return f"{budget.metric} {measured:.1f} ms {between}, the budget is {budget.limit:g} ms"
        return f"{budget.metric} {measured:.1f} ms {between} of {budget.limit:g} ms"

    def _doubt(self, low: float | None, budget: Budget, needed: int) -> str:
        if low is not None and low > budget.limit:
            return "the driver was saturated, so this may be its own delay"
        if not needed:
            return f"{self.samples} samples, and more are not likely to decide"
        return f"{self.samples} samples, a verdict needs about {needed}"

    def _needed(self, budget: Budget) -> int:
        return confidence.needed(self.samples, self.within(budget.limit), budget.quantile)

    def _at(self, rank: int | None) -> float | None:
        return confidence.at_rank(self._steps, rank)


def _overall(tally: _Tally, budgets: Sequence[BudgetResult]) -> tuple[Verdict, str]:
    """A leak before everything, then broken promises, then what is open, then what holds."""
    if tally.leaks:
        return "miss", f"leak: {tally.leaks[0]}"
    missed = [budget.reason for budget in budgets if budget.verdict == "miss"]
    if tally.query.minimum_rows and tally.empty > EMPTY_SHARE * tally.samples:
        missed.append(
            f"{tally.empty} of {tally.samples} answers were empty, the header promises at least "
            f"{tally.query.minimum_rows} rows"
        )
    if missed:
        return "miss", "; ".join(missed)
    for wanted in ("inconclusive", "pass"):
        told = [b.reason for b in budgets if b.verdict == wanted and b.metric != "errors"]
        if told:
            return ("pass" if wanted == "pass" else "inconclusive"), "; ".join(told)
    return "inconclusive", "no budget"


def _classes(records: Iterable[QueryRecord]) -> Iterator[ClassLatency]:
    """Nothing where all tenants are of one class."""
    by_class: dict[str, list[str]] = {}
    for record in records:
        for name, histogram in record.response.items():
            by_class.setdefault(name, []).append(histogram)
    for name, histograms in sorted(by_class.items()) if len(by_class) > 1 else ():
        histogram = merge(histograms)
        if found := latency(histogram):
            yield ClassLatency(name, histogram.total_count, found)


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
