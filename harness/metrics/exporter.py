"""Serves metrics over HTTP for Prometheus to scrape: whatever collectors it is given.

On loopback unless told otherwise. A collector that fails is left out of the answer and
counted, so that one bad figure does not hide the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.errors import HarnessError, UsageError

Source = Callable[[], Iterable[Metric]]
"""Gives the metric families of one scrape; may raise HarnessError."""


class SourcesCollector(Collector):
    """Collects from sources at every scrape."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Keeps the sources."""
        self._sources = sources
        self._failures = 0
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """The families of all sources, and how often one failed since the start."""
        with self._lock:
            for source in self._sources:
                try:
                    yield from list(source())
                except HarnessError:
                    self._failures += 1
            failures = CounterMetricFamily(
                "harness_exporter_failures", "Sources of metrics that failed at a scrape."
            )
            failures.add_metric([], self._failures)
            yield failures


@contextmanager
def serving(sources: Sequence[Source], address: str, port: int) -> Iterator[int]:
    """Serves /metrics for as long as the block takes; yields the port (0 picks a free one).

    Raises UsageError where the address cannot be bound.
    """
    registry = CollectorRegistry()
    registry.register(SourcesCollector(sources))
    try:
        server, thread = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise UsageError(f"{address}:{port} cannot be served on: {error.strerror}") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
