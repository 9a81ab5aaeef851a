"""A run as JUnit XML: a test case per probe and per critical query, a failure where it did
not hold. Findings of the static check have a renderer of their own."""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.drill_result import DrillFinding
from harness.finding import Finding, Suppressed
from harness.report.rls_cost import summary
from harness.report.terminal import why
from harness.rls_cost_result import RlsCostResult
from harness.run import BrokenTruth, ProbeResult, QueryResult, Regression, Run, Stage


def render(run: Run) -> str:
    """The XML document as text."""
    xml = JUnitXml("harness")
    for name, cases in (
        ("stages", [_stage(stage) for stage in run.stages]),
        ("findings", [*map(_finding, run.blocking_findings), *map(_accepted, run.suppressed)]),
        ("truths", [_broken(broken) for broken in run.broken]),
        ("isolation", [_probe(probe) for probe in run.probes]),
        ("load", [_query(query) for query in run.load.queries] if run.load else []),
        ("regressions", [_regression(regression) for regression in run.regressions]),
        ("row security", [_cost(run.rls_cost)] if run.rls_cost else []),
        ("drill", [_lost(lost) for lost in run.drill.findings] if run.drill else []),
    ):
        suite = TestSuite(name)
        suite.timestamp = run.started_at.isoformat()
        suite.add_testcases(cases)
        xml.add_testsuite(suite)
    xml.update_statistics()
    text = xml.tostring()
    return (text.decode() if isinstance(text, bytes) else text) + "\n"


def _stage(stage: Stage) -> TestCase:
    case = TestCase(stage.name, "stage", stage.seconds)
    if stage.status in ("failed", "error"):
        case.result = [Failure(stage.detail or f"{stage.name} did not hold")]
    return case


def _finding(finding: Finding) -> TestCase:
    case = TestCase(finding.object, finding.rule)
    case.result = [Failure(finding.message, finding.rule)]
    return case


def _accepted(suppressed: Suppressed) -> TestCase:
    case = TestCase(suppressed.finding.object, suppressed.finding.rule)
    case.result = [Skipped(suppressed.reason or "in the baseline")]
    return case


def _broken(broken: BrokenTruth) -> TestCase:
    case = TestCase(broken.sentence, f"truths.{broken.place}")
    case.result = [(Error if broken.error else Failure)(why(broken), "broken")]
    return case


def _probe(probe: ProbeResult) -> TestCase:
    case = TestCase(probe.object, f"isolation.{probe.probe}")
    if probe.verdict == "leak":
        case.result = [Failure(probe.detail, "leak")]
    elif probe.verdict not in ("held", "noted"):
        case.result = [Error(probe.detail, probe.verdict)]
    return case


def _query(query: QueryResult) -> TestCase:
    seconds = query.latency.p95 / 1000 if query.latency else 0.0
    case = TestCase(query.name, "load", seconds)
    if query.verdict != "pass":
        kind = Failure if query.verdict == "miss" else Error
        case.result = [kind(query.reason, query.verdict)]
        case.system_out = "\n".join(query.explanation)
    return case


def _regression(regression: Regression) -> TestCase:
    case = TestCase(regression.query, "regression")
    case.result = [Failure(regression.detail, regression.kind)]
    return case


def _cost(cost: RlsCostResult) -> TestCase:
    case = TestCase("the median query", "rls-cost")
    if not cost.held:
        case.result = [Failure(summary(cost), "cost")]
    return case


def _lost(lost: DrillFinding) -> TestCase:
    case = TestCase(lost.name, f"drill.{lost.copy}.{lost.kind}")
    case.result = [Failure(lost.detail, "drill")]
    return case
