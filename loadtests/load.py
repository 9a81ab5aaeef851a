"""Runs the workload in a Locust process and turns what it recorded into a LoadResult."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import nodes, target
from harness.errors import DatabaseError, UsageError
from harness.load_result import Arrivals, BusyTenant, Driver, LoadResult
from harness.metrics.tenants import ranked
from loadtests import (
    budget,
    driving,
    explaining,
    judging,
    pipeline,
    plans,
    routing,
    waits,
    workload,
)
from loadtests.arrivals import Kind
from loadtests.driving import Driving, Progress
from loadtests.naming import naming
from loadtests.query import BUNDLED, Query, read_all
from loadtests.recorder import DriverRecord
from loadtests.tenants import Shares

SATURATED = 0.9
"""A driver that used so much of one core cannot keep time any more."""
BUSIEST = 10
"""So many tenants are told that the load kept the server busy for."""
LATE_MS = 10.0
"""Nor can one whose sleeps end so late at the 95th percentile: others have the processor."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How hard and how long; times in seconds."""

    users: int = 8
    seconds: float = 40.0
    warmup_seconds: float = 3.0
    think_seconds: float = 0.02
    queries_dir: Path = BUNDLED
    extend_seconds: float = 0.0
    """At most so much longer, in the closed model, for queries whose verdict is open."""
    rate: float = 0.0
    """Requests per second in the open model; 0: the closed one."""
    arrivals: Kind = "constant"
    shares: Shares = field(default_factory=Shares)
    only: tuple[str, ...] = ()
    """Names of the queries to drive, `hs.*` for several; all where it is empty."""
    search_share: float = 0.01
    """So much of the drivers' time answers are searched for what is another tenant's; 0: no look
    at all."""
    processes: int = 1
    """Driver processes that share users and rate."""
    web_port: int = 0
    """Where Locust's own pages are served meanwhile, on the loopback; 0: nowhere."""


def load(
    database: Target,
    settings: Settings,
    load_settings: LoadSettings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> LoadResult:
    """Drives every critical query and returns its figures against the budgets.

    Raises UsageError for a bad query file or missing parameters, DatabaseError where the
    server went away, HarnessError where the driver died.
    """
    queries = promised(settings, chosen(settings, load_settings))
    work = _prepare(database, settings, load_settings, queries, owned)
    found = plans.capture(database, settings, queries, work.tenants)
    with (
        tempfile.TemporaryDirectory(prefix="harness-load-") as directory,
        waits.sampled(database, queries) as seen,
    ):
        driver = Driving(load_settings.users, load_settings.processes, load_settings.web_port)
        records = driving.drive(database, driver, work, Path(directory), on_progress)
    if lost := next((r.lost_connection for r in records if r.lost_connection), ""):
        raise DatabaseError(f"the load stopped: {lost}")
    by_name = {query.name: query for query in queries}
    lacking = workload.lacking(queries, work.tenants)
    result = judging.excused(summarize(queries, records, load_settings), lacking)
    result = replace(result, busiest=tuple(_busiest(seen.tenants, work.tenants)))
    result = routing.judged(result, by_name, found.plans, found.asked)
    command, column = reproducing(load_settings), settings.tenancy.column
    return explaining.explained(result, by_name, found, seen.waits, command, column)


def _busiest(
    seen: Mapping[str, int], tenants: Sequence[workload.TenantSamples]
) -> Iterator[BusyTenant]:
    """The tenants that connections were seen at work for most, the first first."""
    sizes = {tenant.id: tenant.size_class for tenant in tenants}
    for each in ranked(seen, BUSIEST):
        size = sizes.get(each.tenant, "")
        yield BusyTenant(each.tenant, size, int(each.amount), each.share)


def chosen(settings: Settings, wanted: LoadSettings) -> tuple[Query, ...]:
    """The queries to drive; UsageError where a pattern of `only` meets none."""
    queries = read_all(wanted.queries_dir, settings.tenancy.column)
    for pattern in wanted.only:
        if not any(fnmatchcase(query.name, pattern) for query in queries):
            raise UsageError(f"--only {pattern}: no critical query in {wanted.queries_dir} is it")
    return tuple(
        query
        for query in queries
        if not wanted.only or any(fnmatchcase(query.name, pattern) for pattern in wanted.only)
    )


def reproducing(wanted: LoadSettings) -> str:
    """The command that loads the same way, up to what it drives."""
    options = {
        "--users": wanted.users,
        "--seconds": wanted.seconds,
        "--think": wanted.think_seconds,
        "--rate": wanted.rate or None,
        "--arrivals": wanted.arrivals if wanted.rate else None,
        "--hot-tenant": wanted.shares.hot or None,
        "--sql": None if wanted.queries_dir == BUNDLED else shlex.quote(str(wanted.queries_dir)),
    }
    given = (
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in options.items()
        if value is not None
    )
    return " ".join(("harness load", *given))


def promised(settings: Settings, queries: tuple[Query, ...]) -> tuple[Query, ...]:
    """The queries with the budgets that settings give them over those of their headers."""
    over = budget.configured(settings.load.budgets, [query.name for query in queries])
    return tuple(replace(q, budgets=budget.overlay(q.budgets, over[q.name])) for q in queries)


def summarize(
    queries: tuple[Query, ...], records: tuple[DriverRecord, ...], load_settings: LoadSettings
) -> LoadResult:
    """Figures of all drivers together."""
    by_query = {
        query.name: [q for record in records for q in record.queries if q.name == query.name]
        for query in queries
    }
    driver = _driver(records)
    delay_ms = driver.lag_p99_ms if driver.saturated else 0.0
    results = tuple(judging.result(query, by_query[query.name], delay_ms) for query in queries)
    seconds = max(record.seconds for record in records)
    answered = sum(result.samples + result.errors for result in results)
    arrivals = _arrivals(records, load_settings)
    if arrivals and arrivals.unserved:
        results = tuple(judging.doubted(each, arrivals.unserved) for each in results)
    switched = sum(record.switched for record in records)
    return LoadResult(
        users=load_settings.users,
        seconds=seconds,
        warmup_seconds=load_settings.warmup_seconds,
        requests_per_second=answered / seconds if seconds else 0.0,
        queries=results,
        notes=(*_notes(driver, arrivals, switched), *judging.rowless(queries, results)),
        driver=driver,
        arrivals=arrivals,
        searched=sum(record.searched for record in records),
        switched=switched,
    )


def _driver(records: tuple[DriverRecord, ...]) -> Driver:
    lag = judging.latency(judging.merge(record.lag for record in records))
    share = max(r.cpu_seconds / r.seconds if r.seconds else 0.0 for r in records)
    p50, p95, p99 = (lag.p50, lag.p95, lag.p99) if lag else (0.0, 0.0, 0.0)
    return Driver(len(records), share, p50, p99, share > SATURATED or p95 > LATE_MS)


def _arrivals(records: tuple[DriverRecord, ...], wanted: LoadSettings) -> Arrivals | None:
    if not wanted.rate:
        return None
    return Arrivals(wanted.rate, wanted.arrivals, sum(record.unserved for record in records))


def _notes(driver: Driver, arrivals: Arrivals | None, switched: int) -> Iterator[str]:
    if driver.cpu_share > SATURATED:
        yield (
            f"the driver was saturated ({driver.cpu_share:.0%} of a core): latencies are partly "
            "its own, not the server's; use fewer users, a longer think time or a lower rate"
        )
    elif driver.saturated:
        yield (
            f"the driver did not get its share of the processors (a sleep ended up to "
            f"{driver.lag_p99_ms:.1f} ms late): so much of a latency may be its own, not the "
            "server's; the machine does too much else, or too little is left beside the server"
        )
    if arrivals and arrivals.unserved:
        yield (
            f"the rate of {arrivals.rate:g}/s was not kept: {arrivals.unserved} requests that were "
            "due got no connection; latencies are worse than stated"
        )
    if switched <= 1:
        yield "all requests were for one tenant: that no answer was another's proves nothing"


def _prepare(
    database: Target,
    settings: Settings,
    load_settings: LoadSettings,
    queries: tuple[Query, ...],
    owned: str | None,
) -> workload.Workload:
    with connect(reader(database)) as connection:
        target.require(connection, owned)
        tenants = workload.draw_tenants(connection, settings, queries, load_settings.shares)
        bounds = pipeline.BOUNDS if nodes.is_cluster(connection) else ()
    return workload.Workload(
        queries=queries,
        tenants=tenants,
        set_tenant=naming(settings.tenancy.set_tenant),
        tenant_column=settings.tenancy.column,
        warmup_seconds=load_settings.warmup_seconds,
        seconds=load_settings.seconds,
        think_seconds=load_settings.think_seconds,
        rate=load_settings.rate,
        arrivals=load_settings.arrivals,
        extend_seconds=load_settings.extend_seconds,
        search_share=load_settings.search_share,
        bounds=bounds,
    )


def reader(database: Target) -> str:
    """As somebody who sees all tenants: the owner where row security is not for it, or the loader,
    which somebody else's schema may grant nothing."""
    with connect(database.admin) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    return database.admin if row and row[0] else database.loader
