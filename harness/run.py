"""The Run document: what one run did and found. Every report is rendered from it.

Durations are seconds, latencies milliseconds, sizes bytes, times UTC. `FORMAT` rises when a
field changes its meaning or goes away; a reader refuses a document newer than itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from harness.config import FailOn
from harness.drill_result import DrillResult as DrillResult
from harness.errors import UsageError
from harness.finding import Finding, Suppressed
from harness.growth_result import GrowthResult
from harness.load_result import Counted as Counted
from harness.load_result import Latency as Latency
from harness.load_result import LoadResult as LoadResult
from harness.load_result import QueryResult as QueryResult
from harness.load_result import Regression as Regression
from harness.rls_cost_result import RlsCostResult
from harness.verdict import fails
from harness.volume import Volume

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the run took place."""

    harness_version: str
    python: str
    platform: str
    cpus: int
    memory_bytes: int
    server: str = ""
    """PostgreSQL's version, `17.10`."""
    database: str = ""
    """Name and place, without credentials."""
    commit: str = ""
    system_identifier: str = ""
    """Of the server's cluster, where it may be read: the same under every address."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Server settings that matter for the figures."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the run: check static, deploy, check catalog, fill, check isolation, load."""

    name: str
    status: Literal["held", "failed", "error", "skipped"]
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeployResult:
    """What was deployed; `changed` is False where the database already held it."""

    changed: bool
    files: int
    statements: int
    seconds: float
    objects: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per schema: tables, partitions, indexes, functions, views, …, counted from the catalog."""
    left_out: tuple[str, ...] = ()
    """Statements that a cluster cannot have, a line each."""


@dataclass(frozen=True, slots=True)
class TableFill:
    """Rows that a fill put into one table, all tenants together."""

    table: str
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Settled:
    """How long the statements of a recipe took that settle what follows from other rows."""

    file: str
    """`schema/area.sql`."""
    seconds: float
    """All tenants together."""


@dataclass(frozen=True, slots=True)
class TenantFill:
    """A tenant of a fill and its share of the rows."""

    tenant: str
    """Its id."""
    canary: str
    """The token that its texts carry."""
    industry: str
    size: Literal["small", "medium", "giant"]
    rows: int


@dataclass(frozen=True, slots=True)
class BrokenTruth:
    """Something that must hold of filled data and does not, or could not be judged."""

    sentence: str
    place: str
    """`schema/area.toml:line` of the truth, or the function that proves it."""
    rows: int = 0
    """Rows that break it."""
    tenants: int = 0
    """Tenants that those rows are of; 0 where the rows do not say."""
    shown: tuple[str, ...] = ()
    """The first of the rows, each a JSON object."""
    error: str = ""
    """Why PostgreSQL could not answer."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The truths of filled data that were checked, and what broke them."""

    checked: int
    skipped: int
    """Truths of schemas that are not deployed."""
    broken: tuple[BrokenTruth, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class FillResult:
    """A finished fill; the same seed, scale, tenants and as_of give the same data."""

    seed: int
    scale: float
    tenants: int
    as_of: datetime
    seconds: float
    tables: tuple[TableFill, ...]
    unmet: tuple[str, ...] = ()
    """One line per table that could not be filled as planned, and how to give a recipe."""
    fewer: tuple[str, ...] = ()
    """One line per table that got fewer rows than planned, and what stood against the others."""
    audit: Audit | None = None
    """None where nobody asked for it."""
    settled: tuple[Settled, ...] = ()
    shares: tuple[TenantFill, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def broken(self) -> tuple[BrokenTruth, ...]:
        """What an audit found that does not hold."""
        return self.audit.broken if self.audit else ()

    @property
    def held(self) -> bool:
        """True when every table was filled as planned and nothing that was audited is broken."""
        return not (self.unmet or self.broken)


ProbeVerdict = Literal["held", "leak", "weak", "noted", "vacuous", "error"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One live attempt to cross the tenant boundary on one object.

    `weak`: no row crossed, but something of another tenant can be told; `noted`: to be known, as
    what PostgreSQL does by design or what could not be called; `vacuous`: it could not have failed
    (no rows to find), so it proves nothing.
    """

    object: str
    probe: str
    verdict: ProbeVerdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Attacked:
    """The two tenants of an isolation check."""

    attacker: str
    victim: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the harness, whole or in part."""

    id: str
    command: str
    started_at: datetime
    finished_at: datetime
    environment: Environment
    stages: tuple[Stage, ...] = ()
    deploy: DeployResult | None = None
    findings: tuple[Finding, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    """Findings that somebody accepted."""
    fail_on: FailOn = "warning"
    """The lowest severity of a finding that fails the run."""
    fill: FillResult | None = None
    probes: tuple[ProbeResult, ...] = ()
    attacked: Attacked | None = None
    load: LoadResult | None = None
    volume: Volume | None = None
    """What the database held when the load began."""
    growth: GrowthResult | None = None
    rls_cost: RlsCostResult | None = None
    drill: DrillResult | None = None
    format: int = FORMAT

    @property
    def leaks(self) -> tuple[ProbeResult, ...]:
        """Probes that crossed the boundary."""
        return tuple(p for p in self.probes if p.verdict == "leak")

    @property
    def weaknesses(self) -> tuple[ProbeResult, ...]:
        """Probes that told something of another tenant without reaching its rows."""
        return tuple(p for p in self.probes if p.verdict == "weak")

    @property
    def unproven(self) -> tuple[ProbeResult, ...]:
        """Probes that could not have failed or could not be carried out."""
        return tuple(p for p in self.probes if p.verdict in ("vacuous", "error"))

    @property
    def missed(self) -> tuple[QueryResult, ...]:
        """Critical queries that did not hold their budget."""
        return tuple(q for q in self.load.queries if q.verdict != "pass") if self.load else ()

    @property
    def regressions(self) -> tuple[Regression, ...]:
        """What is worse than in the baseline."""
        return self.load.comparison.regressions if self.load and self.load.comparison else ()

    @property
    def blocking_findings(self) -> tuple[Finding, ...]:
        """Findings that fail the run."""
        return tuple(f for f in self.findings if fails(f.severity, self.fail_on))

    @property
    def broken(self) -> tuple[BrokenTruth, ...]:
        """Truths that the filled data break."""
        return self.fill.broken if self.fill else ()

    @property
    def held(self) -> bool:
        """True when everything that was looked at held."""
        stages_fine = all(stage.status in ("held", "skipped") for stage in self.stages)
        return stages_fine and not (
            self.leaks
            or self.weaknesses
            or self.unproven
            or self.missed
            or self.regressions
            or self.blocking_findings
            or self.broken
            or (self.rls_cost is not None and not self.rls_cost.held)
            or (self.drill is not None and not self.drill.held)
        )


@cache
def _document() -> TypeAdapter[Run]:
    """Made when it is asked for: no small part of what a command takes to begin."""
    return TypeAdapter(Run)


def to_json(run: Run) -> str:
    """The document as indented JSON, ending with a newline."""
    return _document().dump_json(run, indent=2).decode() + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema that documents of this format follow."""
    return _document().json_schema()


def from_json(text: str | bytes, source: str = "run document") -> Run:
    """Reads a document; UsageError where it is none or newer than this harness."""
    try:
        run = _document().validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source}: not a run document: {where}: {first['msg']}") from None
    if run.format > FORMAT:
        raise UsageError(f"{source}: format {run.format} is newer than this harness ({FORMAT})")
    return run


def load(path: Path) -> Run:
    """Reads a document from a file."""
    try:
        return from_json(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def now() -> datetime:
    """The current time, UTC, to the microsecond."""
    return datetime.now(UTC)
