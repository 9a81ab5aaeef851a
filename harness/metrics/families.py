"""The rows of a collector as metric families, no more of them than it may give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    UnknownMetricFamily,
)

from harness.metrics.collector import Collector, Kind

_FAMILIES: dict[Kind, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "unknown": UnknownMetricFamily,
}

Rows = Sequence[Mapping[str, Any]]


class Gathered(NamedTuple):
    """What a collector gave, and how many series more there would have been."""

    families: tuple[Metric, ...]
    series: int
    dropped: int


def gathered(collector: Collector, rows: Rows) -> Gathered:
    """The rows as samples; a row whose series would be too many and all after it are left out.

    To Prometheus a label that is empty and one that is not there are the same. Raises KeyError
    where a column is missing, ValueError where two rows have the same labels.
    """
    families = {column: _family(collector, column) for column in collector.metrics}
    series = dropped = 0
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        if (key := tuple(row[label] for label in collector.labels)) in seen:
            raise ValueError(f"two rows for {key}")
        seen.add(key)
        values = {c: float(row[c]) for c in collector.metrics if row[c] is not None}
        if dropped or series + len(values) > collector.max_series:
            dropped += len(values)
            continue
        series += len(values)
        labels = {n: str(v) for n, v in zip(collector.labels, key, strict=True) if v is not None}
        for column, value in values.items():
            families[column].add_sample(f"{collector.prefix}_{column}", labels, value)
    return Gathered(tuple(f for f in families.values() if f.samples), series, dropped)


def _family(collector: Collector, column: str) -> Any:
    name = f"{collector.prefix}_{column}"
    return _FAMILIES[collector.kind(column)](name, collector.metrics[column])
