"""The lines of a load: how far it is, leaks first, and its queries against their budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.text import Text

from harness.live.counts import (
    ANSWERED,
    ERRORS,
    FIELDS,
    FOREIGN_ROWS,
    TIMEOUTS,
    Counts,
    Numbers,
    Promised,
    busiest,
    percentile,
)

TENANTS = 5
_HEADING = (
    f"   {'critical query':<38} {'budget':>10} {'now':>8} {'so far':>8} {'p50':>8} {'p99':>8}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A query up to now; latencies in milliseconds, None where there was no answer."""

    promised: Promised
    now: float | None
    """At the budget's quantile, since the frame before."""
    measured: float | None
    """At the budget's quantile, since the load began."""
    p50: float | None
    p99: float | None
    answered: int
    errors: int

    @property
    def closeness(self) -> float:
        """How much of its budget is used; over 1 it is missed."""
        return (self.measured or 0.0) / self.promised.limit


def rows(counts: Counts, before: Counts | None) -> list[Row]:
    """Queries that were asked, the worst against its budget first."""
    found = []
    for place, promised in enumerate(counts.load.queries):
        numbers = counts.queries[place]
        if numbers[:FIELDS].any():
            then = before.queries[place] if before is not None else np.zeros_like(numbers)
            found.append(_row(promised, numbers, then))
    return sorted(found, key=lambda row: (-row.closeness, row.promised.name))


def _row(promised: Promised, numbers: Numbers, then: Numbers) -> Row:
    buckets = numbers[FIELDS:]
    return Row(
        promised,
        percentile(buckets - then[FIELDS:], promised.quantile),
        percentile(buckets, promised.quantile),
        percentile(buckets, 0.5),
        percentile(buckets, 0.99),
        int(numbers[ANSWERED]),
        int(numbers[ERRORS] + numbers[TIMEOUTS]),
    )


def lines(counts: Counts, before: Counts | None, now: float) -> Iterator[Text]:
    """The load in a line, leaks, its tenants, and a line for each query."""
    yield Text(_told(counts, now), "bold")
    leaked = counts.queries[:, FOREIGN_ROWS]
    for place in leaked.nonzero()[0].tolist():
        name, foreign = counts.load.queries[place].name, int(leaked[place])
        yield Text(f"✗ LEAK {name}: {foreign} rows of another tenant", "bold red")
    if told := _told_tenants(counts):
        yield Text(told)
    found = rows(counts, before)
    if found:
        yield Text(f"{_HEADING} {'answers':>9} {'errors':>6}", "bold")
    for row in found:
        over = row.closeness > 1 or row.errors
        yield Text(_told_row(row), "red" if over else "")


def _told(counts: Counts, now: float) -> str:
    load = counts.load
    gone = now - load.began
    of = f"load of {load.database}: {load.users} users"
    if gone < load.warmup_seconds:
        return f"{of}, warming up ({gone:.0f} of {load.warmup_seconds:.0f} s)"
    measured = gone - load.warmup_seconds
    requests = _requests(counts)
    errors = int(counts.queries[:, ERRORS].sum() + counts.queries[:, TIMEOUTS].sum())
    leaks = int(counts.queries[:, FOREIGN_ROWS].sum())
    rate = requests / measured if measured >= 1 else 0.0
    longer = "" if measured <= load.seconds else ", extended"
    return (
        f"{of}, {measured:.0f} of {load.seconds:.0f} s{longer}, {requests:,} requests, "
        f"{rate:,.0f}/s, {errors} errors, {leaks} leaked rows"
    )


def _requests(counts: Counts) -> int:
    return int(counts.queries[:, ANSWERED].sum() + counts.queries[:, ERRORS].sum())


def _told_tenants(counts: Counts) -> str:
    total = int(counts.tenants.sum())
    if not total:
        return ""
    told = [f"{name} {n / total:.0%}" for name, n in busiest(counts, TENANTS).items()]
    return f"top tenants: {', '.join(told)}"


def _told_row(row: Row) -> str:
    sign = "✗" if row.closeness > 1 else "✓" if row.answered else " "
    budget = f"{row.promised.metric} {row.promised.limit:g}"
    figures = " ".join(f"{_ms(value):>8}" for value in (row.now, row.measured, row.p50, row.p99))
    name = row.promised.name[:38]
    return f"{sign}  {name:<38} {budget:>10} {figures} {row.answered:>9,} {row.errors:>6}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
