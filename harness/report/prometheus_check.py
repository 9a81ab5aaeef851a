"""Prometheus metrics of one check: findings, tables, and cells of the policies' truth table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.finding import Finding
from harness.verdict import Verdict

_SCHEMA = re.compile(r"([^\s./(]+)\.[^\s./(]+(?:\(.*)?")


@dataclass(frozen=True, slots=True, eq=False)
class CheckCollector(Collector):
    """Serves the metrics of one check."""

    verdict: Verdict
    tables: int
    cells: Mapping[str, int]
    """Cells of the truth table by verdict; empty where none was filled."""

    def collect(self) -> Iterator[Metric]:
        """All metric families."""
        held = GaugeMetricFamily("harness_check_held", "Whether the check held (1) or not (0).")
        held.add_metric([], float(not self.verdict.failed))
        yield held
        yield findings(self.verdict.findings)
        yield _suppressed(self.verdict)
        yield _tables(self.tables)
        yield _cells(self.cells)


def textfile(verdict: Verdict, tables: int, cells: Mapping[str, int]) -> str:
    """The metrics in the text exposition format, for node_exporter's textfile collector."""
    own = CollectorRegistry()
    own.register(CheckCollector(verdict, tables, cells))
    return generate_latest(own).decode()


def findings(found: Iterable[Finding]) -> Metric:
    """Findings by rule, severity and schema; the schema of what belongs to none is empty."""
    family = GaugeMetricFamily(
        "harness_check_findings",
        "Findings of the last check.",
        labels=["rule", "severity", "schema"],
    )
    counts = Counter((f.rule, f.severity.value, _schema(f)) for f in found)
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _schema(finding: Finding) -> str:
    """Of `schema.table` and `schema.function(…)`, not of a file or the words of a statement."""
    place = finding.location
    match = _SCHEMA.fullmatch(finding.object)
    return match[1] if match and not (place and place.file == finding.object) else ""


def _suppressed(verdict: Verdict) -> Metric:
    family = GaugeMetricFamily(
        "harness_check_suppressed",
        "Findings that were held back, beside the statement (inSource) or by a baseline.",
        labels=["rule", "kind"],
    )
    counts = Counter((each.finding.rule, each.kind) for each in verdict.suppressed)
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _tables(count: int) -> Metric:
    family = GaugeMetricFamily("harness_check_tables", "Tables and partitions that were looked at.")
    family.add_metric([], count)
    return family


def _cells(cells: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(
        "harness_check_policy_cells",
        "Cells of the policies' truth table by what they came to.",
        labels=["verdict"],
    )
    for verdict, count in sorted(cells.items()):
        family.add_metric([verdict], count)
    return family
