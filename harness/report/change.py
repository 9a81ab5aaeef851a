"""What changed from one run to another; every rendering of a comparison is made from it.

Latencies are milliseconds, sizes bytes. `FORMAT` rises when a field changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter

from harness.finding import Finding
from harness.load_result import Latency, Plan, Verdict
from harness.run import BrokenTruth, Run

FORMAT = 1
Way = Literal["worse", "better", "same", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs."""

    id: str
    command: str
    started_at: datetime
    commit: str
    held: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run measured of a query."""

    verdict: Verdict
    budget_ms: float
    samples: int
    latency: Latency | None
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class QueryChange:
    """A critical query in both runs."""

    query: str
    way: Way
    detail: str
    """What is worse or better, as the gate says it; else ''."""
    then: Measured | None
    now: Measured | None
    change: float | None
    """Of the 95th percentile at the speed of now: 0.25 is a quarter slower."""

    @property
    def other_plan(self) -> bool:
        """Whether PostgreSQL answers in another way."""
        then, now = (side.plan if side else None for side in (self.then, self.now))
        return bool(then and now and then.digest != now.digest)

    @property
    def other_verdict(self) -> bool:
        """Whether both have a verdict, and not the same."""
        return bool(self.then and self.now and self.then.verdict != self.now.verdict)


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not what it was."""

    what: str
    then: str
    now: str
    worse: bool = False


@dataclass(frozen=True, slots=True)
class SchemaVolumes:
    """How much a schema held; None where a run does not tell."""

    schema: str
    rows_then: int | None
    rows_now: int | None
    bytes_then: int | None
    bytes_now: int | None


@dataclass(frozen=True, slots=True)
class RunChange:
    """All that changed."""

    then: Side
    now: Side
    notes: tuple[str, ...]
    """What a reader has to know to trust the comparison: other data, another load, a part that one
    of the runs did not do."""
    speed_factor: float
    """How much slower the machine is now, by the median query."""
    compared: int
    """Queries that both runs drove."""
    queries: tuple[QueryChange, ...]
    stages: tuple[Difference, ...]
    findings_new: tuple[Finding, ...]
    findings_gone: tuple[Finding, ...]
    blocking: tuple[Finding, ...]
    """Of the new findings those that fail a run."""
    probes: tuple[Difference, ...]
    probes_new: int
    probes_gone: int
    truths_new: tuple[BrokenTruth, ...]
    truths_gone: tuple[BrokenTruth, ...]
    volume: tuple[SchemaVolumes, ...]
    settings: tuple[Difference, ...]
    format: int = FORMAT

    @property
    def worse(self) -> tuple[str, ...]:
        """What is worse, a line each; nothing where the new run is as good as the old one."""
        return (
            *(f"{probe.what}: {probe.then} → {probe.now}" for probe in self.probes if probe.worse),
            *(f"{found.rule}: {found.message}" for found in self.blocking),
            *(f"no longer true: {truth.sentence}" for truth in self.truths_new),
            *(f"{query.query}: {query.detail}" for query in self.queries if query.way == "worse"),
            *(f"{stage.what}: {stage.then} → {stage.now}" for stage in self.stages if stage.worse),
        )


def side(run: Run) -> Side:
    """A run in short."""
    return Side(run.id, run.command, run.started_at, run.environment.commit, run.held)


_DOCUMENT = TypeAdapter(RunChange)


def to_json(change: RunChange) -> str:
    """The comparison as indented JSON, ending with a newline."""
    return _DOCUMENT.dump_json(change, indent=2).decode() + "\n"
