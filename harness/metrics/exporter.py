"""Serves metrics over HTTP for Prometheus to scrape: of whatever sources it is given.

On loopback unless told otherwise. A source that fails is left out of the answer and counted, so
that one bad figure does not hide the others; and so is a family that would bring more series than
there may be: what somebody's schema or load makes of them never fills somebody's Prometheus.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.errors import HarnessError, UsageError

Source = Callable[[], Iterable[Metric]]
"""Gives the metric families of one scrape; may raise HarnessError."""
MAX_SERIES = 5000


class SourcesCollector(Collector):
    """Collects from sources at every scrape, in their order, no more series than there may be."""

    def __init__(self, sources: Sequence[Source], max_series: int = MAX_SERIES) -> None:
        """Keeps the sources."""
        self._sources = sources
        self._max_series = max_series
        self._failures = 0
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """The families of all sources, and what is to be told of collecting them."""
        series = dropped = 0
        for source in self._sources:
            for family in self._families(source):
                count = len(family.samples)
                if series + count > self._max_series:
                    dropped += count
                    continue
                series += count
                yield family
        yield GaugeMetricFamily("harness_exporter_series", "Series of this scrape.", series)
        yield GaugeMetricFamily(
            "harness_exporter_dropped_series", "Series that would have been too many.", dropped
        )
        yield CounterMetricFamily(
            "harness_exporter_failures", "Sources that failed at a scrape.", self._failures
        )

    def _families(self, source: Source) -> Sequence[Metric]:
        try:
            return list(source())
        except HarnessError:
            with self._lock:
                self._failures += 1
            return ()


@contextmanager
def serving(
    sources: Sequence[Source], address: str, port: int, max_series: int = MAX_SERIES
) -> Iterator[int]:
    """Serves /metrics for as long as the block takes; yields the port (0 picks a free one).

    Raises UsageError where the address cannot be bound.
    """
    registry = CollectorRegistry()
    registry.register(SourcesCollector(sources, max_series))
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
