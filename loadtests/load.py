"""Runs the workload in a Locust process and turns what it recorded into a LoadResult."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import target
from harness.errors import DatabaseError, HarnessError, UsageError
from harness.load_result import Arrivals, Driver, LoadResult
from loadtests import budget, explaining, judging, plans, recorder, waits, workload
from loadtests.arrivals import Kind
from loadtests.query import BUNDLED, Query, read_all
from loadtests.recorder import DriverRecord
from loadtests.tenants import Shares

Progress = Callable[[float, float], None]
"""Called with seconds gone and seconds in all."""

STATEMENT_TIMEOUT = "30s"
SATURATED = 0.9
"""A driver that used so much of one core cannot keep time any more."""
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
    searched_every: int = 16
    """Every so many answers one is searched for what is another tenant's; 0: no look at all."""


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
        waits.sampled(database, queries) as waited,
    ):
        record = _drive(database, load_settings, work, Path(directory), on_progress)
    if record.lost_connection:
        raise DatabaseError(f"the load stopped: {record.lost_connection}")
    by_name = {query.name: query for query in queries}
    lacking = workload.lacking(queries, work.tenants)
    result = judging.excused(summarize(queries, (record,), load_settings), lacking)
    command, column = reproducing(load_settings), settings.tenancy.column
    return explaining.explained(result, by_name, found, waited, command, column)


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
        notes=tuple(_notes(driver, arrivals, switched)),
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
    with connect(_reader(database)) as connection:
        target.require(connection, owned)
        tenants = workload.draw_tenants(connection, settings, queries, load_settings.shares)
    return workload.Workload(
        queries=queries,
        tenants=tenants,
        set_tenant=settings.tenancy.set_tenant,
        tenant_column=settings.tenancy.column,
        warmup_seconds=load_settings.warmup_seconds,
        seconds=load_settings.seconds,
        think_seconds=load_settings.think_seconds,
        rate=load_settings.rate,
        arrivals=load_settings.arrivals,
        extend_seconds=load_settings.extend_seconds,
        searched_every=load_settings.searched_every,
    )


def _reader(database: Target) -> str:
    """As somebody who sees all tenants: the owner where row security is not for it, or the loader,
    which somebody else's schema may grant nothing."""
    with connect(database.admin) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    return database.admin if row and row[0] else database.loader


def _drive(
    database: Target,
    load_settings: LoadSettings,
    work: workload.Workload,
    directory: Path,
    on_progress: Progress,
) -> DriverRecord:
    workload.write(work, directory / "workload.json")
    total = load_settings.warmup_seconds + load_settings.seconds
    log = directory / "locust.log"
    with _locust(database, load_settings, directory, log) as process:
        started = time.monotonic()
        while process.poll() is None:
            on_progress(min(time.monotonic() - started, total), total)
            time.sleep(0.2)
    record = directory / "record.json"
    if not record.exists():
        raise HarnessError(f"the Locust process failed (exit {process.returncode}): {_last(log)}")
    return recorder.read(record)


@contextmanager
def _locust(
    database: Target, load_settings: LoadSettings, directory: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The Locust process, ended when the block ends."""
    users = str(load_settings.users)
    locustfile = str(Path(__file__).with_name("locustfile.py"))
    command = [sys.executable, "-m", "locust", "-f", locustfile, "--headless", "--only-summary"]
    command += ["--users", users, "--spawn-rate", users]
    # Users end between requests: one that is killed in the middle leaves the run hanging.
    command += ["--stop-timeout", "30", "--exit-code-on-error", "0", "--loglevel", "WARNING"]
    environment = {
        **os.environ,
        "HARNESS_WORKLOAD": str(directory / "workload.json"),
        "HARNESS_LOAD_RECORD": str(directory / "record.json"),
        "HARNESS_LOAD_DSN": _with_timeout(database.app),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)


def _with_timeout(dsn: str) -> str:
    options = conninfo_to_dict(dsn).get("options") or ""
    timeout = f"-c statement_timeout={STATEMENT_TIMEOUT}"
    return make_conninfo(
        dsn, options=f"{options} {timeout}".strip(), application_name=waits.APPLICATION
    )


def _last(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"
