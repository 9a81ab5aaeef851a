"""Samples for which tenants the server works, as metrics that name no tenant: its rank and class.

A thread of its own looks five times a second; a scrape takes what the last minute showed. Without
a server it waits for one.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from harness.errors import DatabaseError
from harness.metrics import tenants
from harness.metrics.session import Observing

WINDOW = 60.0
"""Seconds that the figures are of."""
TOP = 5
"""So many tenants have a rank of their own; the others are `other`."""
SIZES_EVERY = 1800.0
"""Seconds between looks at planner statistics: a look reads some thousand buffers."""
SIZES_TIMEOUT = "5s"
RETRY = 5.0
"""Seconds between attempts to connect."""


@dataclass(slots=True)
class TenantActivity:
    """A source of metrics: what samples showed, and what the planner knows of sizes."""

    window: deque[Counter[str]] = field(
        default_factory=lambda: deque(maxlen=int(WINDOW / tenants.INTERVAL))
    )
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Rows by tenant; empty where the role may not know."""
    samples: int = 0
    up: bool = False

    def add(self, sample: Counter[str]) -> None:
        """Takes a sample."""
        self.window.append(sample)
        self.samples += 1

    def __call__(self) -> Iterable[Metric]:
        """The families of one scrape."""
        classes = tenants.size_classes(self.sizes)
        yield GaugeMetricFamily(
            "harness_tenant_sampler_up", "Whether activity is sampled (1) or not (0).", self.up
        )
        yield CounterMetricFamily(
            "harness_tenant_samples", "Samples of activity that were taken.", self.samples
        )
        yield from self._activity(classes)
        yield from _sizes(self.sizes, classes)

    def _activity(self, classes: Mapping[str, str]) -> Iterator[Metric]:
        window = list(self.window)
        seen: Counter[str] = sum(window, Counter())
        share = _gauge("activity_share", "Share of the sessions at work in the last minute.")
        sessions = _gauge("active_sessions", "Sessions at work, on average of the last minute.")
        for labels, part in _by_rank(seen, classes):
            share.add_metric(labels, part)
            sessions.add_metric(labels, part * seen.total() / len(window))
        yield from (share, sessions)


def _sizes(sizes: Mapping[str, int], classes: Mapping[str, str]) -> Iterator[Metric]:
    share = _gauge("rows_share", "Share of all rows, by planner statistics.")
    for labels, part in _by_rank(sizes, classes):
        share.add_metric(labels, part)
    many = GaugeMetricFamily("harness_tenants", "Tenants of a class.", labels=["class"])
    for size, count in sorted(Counter(classes.values()).items()):
        many.add_metric([size], count)
    yield from (share, many)


def _by_rank(
    amounts: Mapping[str, int], classes: Mapping[str, str]
) -> Iterator[tuple[list[str], float]]:
    """Rank and class with the share that a tenant has, and what all others have together."""
    if not amounts:
        return
    first = tenants.ranked(amounts, TOP)
    for each in first:
        yield [str(each.rank), classes.get(each.tenant, "unknown")], each.share
    yield ["other", ""], max(1.0 - sum(each.share for each in first), 0.0)


def _gauge(name: str, about: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"harness_tenant_{name}", about, labels=["rank", "class"])


@contextmanager
def sampling(connect: Callable[[], Observing], column: str) -> Iterator[TenantActivity]:
    """Samples for as long as the block takes; `column` is the tenant column."""
    activity, ended = TenantActivity(), threading.Event()
    thread = threading.Thread(target=_keep_on, args=(connect, column, activity, ended), daemon=True)
    thread.start()
    try:
        yield activity
    finally:
        ended.set()
        thread.join(timeout=10)


def _keep_on(
    connect: Callable[[], Observing],
    column: str,
    activity: TenantActivity,
    ended: threading.Event,
) -> None:
    while not ended.is_set():
        with suppress(DatabaseError, psycopg.Error), connect() as connection:
            _sample(connection, column, activity, ended)
        activity.up = False
        activity.window.clear()
        ended.wait(RETRY)


def _sample(
    connection: Observing, column: str, activity: TenantActivity, ended: threading.Event
) -> None:
    left = 0.0
    while not ended.is_set():
        if left <= 0:
            activity.sizes, left = _known(connection, column), SIZES_EVERY
        activity.add(tenants.sample(connection))
        activity.up = True
        ended.wait(tenants.INTERVAL)
        left -= tenants.INTERVAL


def _known(connection: Observing, column: str) -> Mapping[str, int]:
    """Sizes, or none where the look takes too long."""
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [SIZES_TIMEOUT])
            return tenants.rows(connection, column)
    except psycopg.errors.QueryCanceled:
        return {}
