"""Who watches a load hears of it some times a second, not at each request, for that would cost more
than the request does: `harness watch` by numbers in a file, Locust's pages by what one of Locust's
workers would report."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from harness.live import counts, place
from harness.live.counts import Counted
from loadtests.measured import Measured
from loadtests.query import Query
from loadtests.recorder import Tally
from loadtests.workload import Workload

INTERVAL = 0.25

Hear = Callable[[Query, Tally, int], None]
"""Takes answers of a query since the last time, and how many rows they were."""


class Teller:
    """Tells of what was recorded since it told last."""

    def __init__(self, work: Workload, measured: Measured) -> None:
        self._work, self._measured = work, measured
        self._published = ExitStack()
        self.live: Counted | None = None
        """What `harness watch` reads; nothing but what is measured."""

    def publish(self, users: int) -> None:
        """Lets `harness watch` read the counts; who drives does not fail for who might watch."""
        directory = place.directory()
        if directory is not None:
            with suppress(OSError):
                published = counts.published(_load(self._work, users), directory)
                self.live = self._published.enter_context(published)

    def close(self) -> None:
        """Takes the counts away."""
        self.live = None
        self._published.close()

    def tell(self, hear: Hear) -> None:
        """Tells all that is new; `hear` of what is not measured, too."""
        for query in self._work.queries:
            self._tell_answers(query, hear)
        self._tell_tenants()

    def failed(self, query: Query, field: int, microseconds: int) -> None:
        """Tells at once of an error or, as of an answer too, of a timeout."""
        if self.live is not None:
            counted = self.live.queries[query.name]
            counted.add(field)
            if field == counts.TIMEOUTS:
                counted.answered(microseconds)

    def leaked(self, query: Query, rows: int) -> None:
        """Tells at once of rows of another tenant."""
        if self.live is not None:
            self.live.queries[query.name].add(counts.FOREIGN_ROWS, rows)

    def _tell_answers(self, query: Query, hear: Hear) -> None:
        for record in (self._measured.records[query.name], self._measured.unmeasured[query.name]):
            if record.fresh:
                tally, rows = record.count()
                hear(query, tally, rows)
                if self.live is not None and record is self._measured.records[query.name]:
                    _add(self.live.queries[query.name], tally)

    def _tell_tenants(self) -> None:
        asked, self._measured.asked = self._measured.asked, defaultdict(int)
        if self.live is not None:
            for tenant, count in asked.items():
                self.live.asked(tenant, count)


def _add(counted: counts.QueryCounts, tally: Tally) -> None:
    for microseconds, count in tally.items():
        counted.answered(microseconds, count)


def _load(work: Workload, users: int) -> counts.Load:
    promised = (
        counts.Promised(query.name, budget.metric, budget.quantile, budget.limit)
        for query in work.queries
        for budget in (query.latency_budget,)
    )
    return counts.Load(
        run=os.getppid(),
        database=os.environ.get("HARNESS_LOAD_DATABASE", ""),
        began=time.time(),
        warmup_seconds=work.warmup_seconds,
        seconds=work.seconds,
        users=users,
        queries=tuple(promised),
        tenants=tuple(tenant.id for tenant in work.tenants),
    )


def report(
    query: Query, tally: Tally, rows: int, now: float, rounded: Callable[[float], int]
) -> Mapping[str, Any]:
    """Answers as a worker of Locust reports them to its master, in milliseconds; `rounded` gives
    the bucket that Locust counts a latency in."""
    requests = sum(tally.values())
    buckets: defaultdict[int, int] = defaultdict(int)
    for microseconds, count in tally.items():
        buckets[rounded(microseconds / 1000)] += count
    return {
        "name": query.name,
        "method": query.mode,
        "last_request_timestamp": now,
        "start_time": now,
        "num_requests": requests,
        "total_response_time": sum(value * count for value, count in tally.items()) / 1000,
        "min_response_time": min(tally) / 1000,
        "max_response_time": max(tally) / 1000,
        "total_content_length": rows,
        "response_times": buckets,
        "num_reqs_per_sec": {int(now): requests},
    }
