"""Values that unit tests share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hdrh.histogram import HdrHistogram

from harness.finding import Finding, Location, Severity, Suppressed
from harness.run import (
    Audit,
    BrokenTruth,
    DeployResult,
    Environment,
    FillResult,
    Latency,
    LoadResult,
    ProbeResult,
    QueryResult,
    Run,
    Stage,
    TableFill,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def query_result(
    name: str = "rest.station_queue", budget_ms: float = 40, **given: object
) -> QueryResult:
    """A query that held: 100 answers of 10, 20, … 1,000 µs."""
    histogram = HdrHistogram(1, 600_000_000, 3)
    for step in range(1, 101):
        histogram.record_value(step * 10)
    fields: dict[str, object] = {
        "name": name,
        "title": "What a station has to cook next.",
        "mode": "read",
        "budget_ms": budget_ms,
        "quantile": 0.95,
        "samples": 100,
        "errors": 0,
        "empty": 0,
        "foreign_rows": 0,
        "latency": Latency(0.5, 0.95, 0.99, 1.0, 0.505),
        "within_budget": 1.0,
        "histogram": histogram.encode().decode(),
        "verdict": "pass",
        "reason": "p95 0.9 ms of 40 ms",
    }
    return QueryResult(**{**fields, **given})  # type: ignore[arg-type]


@pytest.fixture
def held_run() -> Run:
    """A run in which everything held."""
    return Run(
        id="0" * 32,
        command="run",
        started_at=MOMENT,
        finished_at=MOMENT.replace(minute=6),
        environment=Environment(
            "0.1.0", "3.11.7", "Linux", 2, 2**34, "17.10", "harness on a socket"
        ),
        stages=(Stage("deploy", "held", 1.5), Stage("load", "held", 20.0)),
        deploy=DeployResult(True, 3, 120, 1.5, {"rest": {"tables": 2, "indexes": 5}}),
        fill=FillResult(1, 0.02, 3, MOMENT, 4.0, (TableFill("rest.check", 900, 0.5),)),
        probes=(
            ProbeResult("rest.check", "select", "held", "read 0 rows"),
            ProbeResult("rest.check", "insert", "held", "refused"),
        ),
        load=LoadResult(8, 20.0, 3.0, 410.0, (query_result(),)),
    )


@pytest.fixture
def failed_run(held_run: Run) -> Run:
    """The same run with a leak, a finding, one that was accepted, a broken truth and a missed
    budget."""
    from dataclasses import replace

    assert held_run.load
    assert held_run.fill
    broken = BrokenTruth("a check [a-z] totals", "rest/check.toml:4", 3, 2, ('{"n": "[/red]"}',))
    missed = query_result(
        "rest.<slow>", 5, verdict="miss", reason="p95 0.9 ms, the budget is 0.5 ms"
    )
    return replace(
        held_run,
        findings=(
            Finding(
                "RLS001",
                Severity.ERROR,
                "rest.check",
                "row security is not enabled",
                "Every tenant sees every row.",
                "ALTER TABLE rest.check ENABLE ROW LEVEL SECURITY;",
                Location("rest/10_check.sql", 12),
            ),
        ),
        suppressed=(
            Suppressed(
                Finding("TEN001", Severity.ERROR, "rest.unit", "rest.unit has no tenant", "Why."),
                "inSource",
                "<units> are everybody's",
            ),
        ),
        fill=replace(held_run.fill, audit=Audit(9, 2, (broken,), 0.4)),
        probes=(*held_run.probes, ProbeResult("rest.tip", "select", "leak", "read 7 rows")),
        load=replace(held_run.load, queries=(*held_run.load.queries, missed)),
    )
