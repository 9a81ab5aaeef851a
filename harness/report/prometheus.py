"""Prometheus metrics of a run: what held, tables by state, findings, leaks, and its load.

Names and units follow Prometheus' conventions: base units, `_total` for counters. What a run
counted is a gauge, for the next run begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.report import isolation, prometheus_check, prometheus_load
from harness.run import FillResult, Run


class RunCollector(Collector):
    """Serves the metrics of one run."""

    def __init__(self, run: Run, succeeded: Mapping[str, float] | None = None) -> None:
        """Keeps the run; `succeeded` has when stages held in runs before it, since 1970."""
        self._run = run
        self._succeeded = {**(succeeded or {}), **successes(run)}

    def collect(self) -> Iterator[Metric]:
        """All metric families that the run has figures for."""
        run = self._run
        yield from _whole(run)
        yield from _stages(run, self._succeeded)
        yield prometheus_check.findings(run.findings)
        yield GaugeMetricFamily(
            "harness_check_findings_blocking",
            "Findings of the last run that fail it.",
            len(run.blocking_findings),
        )
        if run.deploy or run.fill or run.probes:
            yield _tables(run)
        if run.fill is not None:
            yield _rows(run.fill)
        if run.probes:
            yield from _isolation(run)
        if run.load is not None:
            yield from prometheus_load.families(run.load)


def registry(run: Run) -> CollectorRegistry:
    """A registry that holds the run's metrics and nothing else."""
    own = CollectorRegistry()
    own.register(RunCollector(run))
    return own


def textfile(run: Run) -> str:
    """The metrics in the text exposition format, for node_exporter's textfile collector."""
    return generate_latest(registry(run)).decode()


def successes(run: Run) -> dict[str, float]:
    """When the stages of a run held that did, in seconds since 1970."""
    return {s.name: run.finished_at.timestamp() for s in run.stages if s.status == "held"}


def _whole(run: Run) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "harness_run_held",
        "Whether all that the last run looked at held (1) or not (0).",
        float(run.held),
    )
    yield GaugeMetricFamily(
        "harness_run_finished_timestamp_seconds",
        "When the last run ended, in seconds since 1970.",
        run.finished_at.timestamp(),
    )
    info = GaugeMetricFamily(
        "harness_run_info",
        "What the last run was, always 1.",
        labels=["command", "commit", "server", "harness_version"],
    )
    where = run.environment
    info.add_metric([run.command, where.commit, where.server, where.harness_version], 1)
    yield info


def _stages(run: Run, succeeded: Mapping[str, float]) -> Iterator[Metric]:
    seconds = GaugeMetricFamily(
        "harness_stage_duration_seconds", "How long a stage of the last run took.", labels=["stage"]
    )
    held = GaugeMetricFamily(
        "harness_stage_held",
        "Whether a stage of the last run held (1) or not (0); absent where it was skipped.",
        labels=["stage"],
    )
    success = GaugeMetricFamily(
        "harness_last_success_timestamp_seconds",
        "When a stage last held, in seconds since 1970.",
        labels=["stage"],
    )
    for stage in run.stages:
        seconds.add_metric([stage.name], stage.seconds)
        if stage.status != "skipped":
            held.add_metric([stage.name], float(stage.status == "held"))
    for name, when in succeeded.items():
        success.add_metric([name], when)
    yield from (seconds, held, success)


def _tables(run: Run) -> Metric:
    family = GaugeMetricFamily(
        "harness_schema_tables",
        "Tables of a schema by state: deployed, filled; isolated, leaking or unproven.",
        labels=["schema", "state"],
    )
    for schema, kinds in (run.deploy.objects if run.deploy else {}).items():
        family.add_metric([schema, "deployed"], kinds.get("tables", 0))
    filled = Counter(t.table.partition(".")[0] for t in (run.fill.tables if run.fill else ()))
    for schema, count in sorted(filled.items()):
        family.add_metric([schema, "filled"], count)
    for (schema, state), count in sorted(isolation.states(run.probes).items()):
        family.add_metric([schema, state], count)
    return family


def _rows(fill: FillResult) -> Metric:
    family = GaugeMetricFamily(
        "harness_filled_rows", "Rows that the last fill put into a schema.", labels=["schema"]
    )
    rows: Counter[str] = Counter()
    for table in fill.tables:
        rows[table.table.partition(".")[0]] += table.rows
    for schema, count in sorted(rows.items()):
        family.add_metric([schema], count)
    return family


def _isolation(run: Run) -> Iterator[Metric]:
    probes = GaugeMetricFamily(
        "harness_isolation_probes",
        "Attempts of the last check to cross the tenant boundary, by verdict.",
        labels=["probe", "verdict"],
    )
    counts = Counter((probe.probe, probe.verdict) for probe in run.probes)
    for labels, count in sorted(counts.items()):
        probes.add_metric(labels, count)
    yield probes
    yield GaugeMetricFamily(
        "harness_isolation_leaks", "Attempts that crossed the boundary.", len(run.leaks)
    )
