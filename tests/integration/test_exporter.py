"""The scrape endpoint: on loopback, complete, and honest about a source that fails."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.request import urlopen

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from harness.errors import DatabaseError, UsageError
from harness.metrics.exporter import serving


def _good() -> Iterable[Metric]:
    return [GaugeMetricFamily("harness_run_held", "Held.", value=1)]


def _bad() -> Iterable[Metric]:
    raise DatabaseError("gone")


def _scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def test_a_failing_source_does_not_hide_the_others() -> None:
    with serving([_bad, _good], "127.0.0.1", 0) as port:
        _scrape(port)
        text = _scrape(port)
    assert "harness_run_held 1.0" in text
    assert "harness_exporter_failures_total 2.0" in text


def test_a_port_that_is_taken_is_told() -> None:
    with (
        serving([_good], "127.0.0.1", 0) as port,
        pytest.raises(UsageError, match=f"127.0.0.1:{port} cannot be served on"),
        serving([_good], "127.0.0.1", port),
    ):
        pass
