"""What a load run measured and decided; a part of the Run document.

Latencies are milliseconds, durations seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["pass", "miss", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies of one query in milliseconds, from its histogram."""

    p50: float
    p95: float
    p99: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class BudgetResult:
    """One promise of a query and what the samples say of it."""

    metric: str
    """`p95` and the like in milliseconds, or `errors`, a share."""
    limit: float
    verdict: Verdict
    reason: str
    measured: float | None = None
    low: float | None = None
    """Lower end of the confidence interval; None where there are too few samples for one."""
    high: float | None = None
    needed: int = 0
    """So many samples a verdict needs, about; 0 where there is one."""


@dataclass(frozen=True, slots=True)
class Leak:
    """An answer that held something of another tenant."""

    rows: int
    evidence: str
    """What was seen, and whose it is."""
    tenant: str
    """The tenant that the transaction worked for."""
    previous: str
    """The tenant of the transaction before it on that connection; empty for the first."""
    connection: int
    """Process id of the server's backend."""
    transaction: int
    """The n-th transaction of that connection."""

    def __str__(self) -> str:
        """The leak in a line."""
        after = f" after {self.previous}" if self.previous else ""
        return (
            f"an answer held {self.rows} rows of another tenant ({self.evidence}): transaction "
            f"{self.transaction} of connection {self.connection}, working for {self.tenant}{after}"
        )


@dataclass(frozen=True, slots=True)
class ClassLatency:
    """How a query fared for tenants of one class: small, medium, giant or hot."""

    tenants: str
    samples: int
    latency: Latency


@dataclass(frozen=True, slots=True)
class Plan:
    """How PostgreSQL answers a query, from EXPLAIN (ANALYZE, BUFFERS, MEMORY, SERIALIZE) as the
    application for the biggest tenant that has parameters."""

    digest: str
    """Of the nodes, tables and indexes, not of costs and counts: the same plan, the same digest."""
    outline: tuple[str, ...]
    """A line per node, indented."""
    buffers: int
    """Blocks of 8 kB that one call touches, found in memory or read."""
    milliseconds: float
    temp_blocks: int = 0
    """Blocks of temporary files that one call writes."""
    memory_kb: int = 0
    """Memory that planning took."""
    output_kb: int = 0
    """What the answer is long, serialized."""
    parameters: str = ""
    """Digest of the tenant and the values."""
    rows: int = 0
    """Rows of the answer; with other values or another answer, buffers do not compare."""
    remarks: tuple[str, ...] = ()
    """What is wrong with the plan: tables read whole, sorts on disk."""
    tasks: int = 0
    """On a cluster: shards of a table that it asks; 0 where the plan does not tell."""
    routed: int = 0
    """On a cluster: statements that it and its functions make and one shard answers."""
    fanned: int = 0
    """On a cluster: those that several shards answer."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A query that is worse than it was in the baseline."""

    query: str
    kind: Literal["latency", "buffers", "missing"]
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """This run against a stored one."""

    baseline: str
    """The stored run's id."""
    speed_factor: float
    """How much slower this machine is now, by the median query: latencies are held against the
    baseline's times this."""
    compared: int
    regressions: tuple[Regression, ...] = ()
    plan_changes: tuple[str, ...] = ()
    """Queries whose plan differs: to be known, a regression only if it costs."""
    before: Mapping[str, Latency] = field(default_factory=dict)
    """Latencies of the stored run by query, as they were."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One critical query under load, against its budgets."""

    name: str
    title: str
    mode: Literal["read", "write"]
    budget_ms: float
    """Of the first budget on latency; `budgets` has all."""
    quantile: float
    """The quantile that it bounds, 0.95."""
    samples: int
    errors: int
    """Answers that were errors, apart from timeouts and from conflicts that a retry solved."""
    empty: int
    """Answers with fewer rows than the header promises, or with none where it promises none."""
    foreign_rows: int
    """Rows of another tenant."""
    latency: Latency | None
    """From the intended start to the answer: what a user waits."""
    within_budget: float
    """Share of samples that took no longer than the budget."""
    histogram: str = ""
    """HdrHistogram of microseconds, V2 compressed, base64."""
    verdict: Verdict = "pass"
    reason: str = ""
    statement: str = ""
    """The query itself, with its placeholders."""
    budgets: tuple[BudgetResult, ...] = ()
    timeouts: int = 0
    """Statements that the server cancelled after its timeout; they count as samples too."""
    retries: int = 0
    """Serialization failures and deadlocks that were tried again."""
    service: Latency | None = None
    """From the request's being sent to the answer; only in the open model, where it differs."""
    classes: tuple[ClassLatency, ...] = ()
    leaks: tuple[Leak, ...] = ()
    plan: Plan | None = None
    """None where it could not be told."""
    explanation: tuple[str, ...] = ()
    """Why it missed, and the command that shows it again."""


@dataclass(frozen=True, slots=True)
class Driver:
    """How well the driver itself kept time."""

    processes: int
    cpu_share: float
    """CPU time of the busiest process by wall time: 1.0 is a whole core."""
    lag_p50_ms: float
    lag_p99_ms: float
    """How late a sleep of 10 ms ended: what the driver may have added to a latency."""
    saturated: bool


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The open model: requests came by a schedule, whether the server was ready or not."""

    rate: float
    """Requests per second that were due."""
    kind: Literal["constant", "poisson"]
    unserved: int
    """Requests that were due and never got a connection."""


@dataclass(frozen=True, slots=True)
class BusyTenant:
    """A tenant that the server was seen at work for."""

    tenant: str
    size: str
    """small, medium, giant or hot."""
    samples: int
    share: float
    """Of the samples of all tenants."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter of the server, read before the load and after it."""

    group: str
    """What it is about: database, tables, WAL."""
    name: str
    before: float
    after: float

    @property
    def change(self) -> float | None:
        """What came while the load was driven; None where the counter was reset meanwhile."""
        return self.after - self.before if self.after >= self.before else None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A load run: all critical queries under a number of users."""

    users: int
    seconds: float
    warmup_seconds: float
    requests_per_second: float
    queries: tuple[QueryResult, ...]
    notes: tuple[str, ...] = ()
    """What a reader has to know to trust the figures, e.g. that the driver was saturated."""
    driver: Driver | None = None
    arrivals: Arrivals | None = None
    """None in the closed model, where a user asks again once it is answered."""
    searched: int = 0
    """Answers that were searched for identifiers and canaries of other tenants."""
    comparison: Comparison | None = None
    """None where there is no baseline."""
    switched: int = 0
    """Transactions that worked for another tenant than the one before on their connection."""
    busiest: tuple[BusyTenant, ...] = ()
    """The tenants that the server worked for most, the first first."""
    server: tuple[Counted, ...] = ()
