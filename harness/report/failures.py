"""What of a run did not hold, and the command that shows it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from harness.drill_result import DrillFinding
from harness.finding import Finding
from harness.report import rls_cost, terminal
from harness.report.described import DESCRIBED
from harness.report.isolation import PROBES
from harness.run import ProbeResult, Regression, Run

_AUDIT = "harness fill --audit"
_COMMANDS = {rule.id: rule.command for rule in DESCRIBED}
_RLS_COST = "harness load --rls-cost"


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that did not hold, and how to see it again."""

    what: str
    detail: str
    reproduce: str
    kind: str = "failed"
    """In a word: leak, finding, miss, inconclusive, regression and so on."""

    @property
    def open(self) -> bool:
        """Whether no promise is broken, but none is proven either."""
        return self.kind in ("inconclusive", "vacuous", "error")


def failures(run: Run) -> tuple[Failure, ...]:
    """All that did not hold, worst first."""
    return tuple(_failures(run))


def _failures(run: Run) -> Iterator[Failure]:
    for stage in run.stages:
        if stage.status == "error":
            what = stage.detail or "did not hold"
            yield Failure(stage.name, what, f"harness {stage.name}", "stage")
    yield from map(_probe, (*run.leaks, *run.weaknesses, *run.unproven))
    yield from map(_finding, run.blocking_findings)
    for line in run.fill.unmet if run.fill else ():
        yield Failure("a table is not filled as planned", line, "harness fill --plan", "fill")
    for broken in run.broken:
        yield Failure(
            broken.sentence, f"{terminal.why(broken)} ({broken.place})", _AUDIT, "broken truth"
        )
    for query in sorted(run.missed, key=lambda query: query.verdict != "miss"):
        told = f"{query.reason}{terminal.told_longer(query, run.load)}"
        yield Failure(query.name, told, _load(query.name), query.verdict)
    yield from map(_regression, run.regressions)
    if run.rls_cost and not run.rls_cost.held:
        told = rls_cost.summary(run.rls_cost)
        yield Failure("row security costs more than promised", told, _RLS_COST, "cost")
    yield from map(_lost, run.drill.findings if run.drill else ())


def _probe(probe: ProbeResult) -> Failure:
    command = "harness check isolation"
    if probe.probe in PROBES:
        command = f"{command} --table {quote(probe.object)}"
    return Failure(f"{probe.object}, {probe.probe}", probe.detail, command, probe.verdict)


def _finding(finding: Finding) -> Failure:
    place = f" ({finding.location})" if finding.location else ""
    return Failure(
        f"{finding.rule}: {finding.object}",
        f"{finding.message}{place}",
        _judged_again(finding),
        f"finding, {finding.severity.value}",
    )


def _judged_again(finding: Finding) -> str:
    """The command whose finding it is."""
    layer = "static" if finding.location else "catalog"
    command = _COMMANDS.get(finding.rule, f"harness check {layer}")
    if command.startswith("harness load"):
        return f"{command} --only {quote(finding.object)}"
    return f"{command} --select {finding.rule}"


def _regression(worse: Regression) -> Failure:
    return Failure(worse.query, worse.detail, _load(worse.query), "regression")


def _lost(found: DrillFinding) -> Failure:
    what = f"{found.copy}: {found.kind}: {found.name}"
    return Failure(what, found.detail, "harness drill backup", "drill")


def _load(query: str) -> str:
    return f"harness load --only {quote(query)}"
