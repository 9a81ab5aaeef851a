"""Runs the workload in a Locust process and turns what it recorded into a LoadResult."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import target
from harness.errors import DatabaseError, HarnessError
from harness.run import LoadResult
from loadtests import budget, recorder, workload
from loadtests.query import BUNDLED, Query, read_all
from loadtests.recorder import DriverRecord

Progress = Callable[[float, float], None]
"""Called with seconds gone and seconds in all."""

STATEMENT_TIMEOUT = "30s"
SATURATED = 0.9
"""A driver that used so much of one core cannot keep time any more."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How hard and how long; times in seconds."""

    users: int = 8
    seconds: float = 40.0
    warmup_seconds: float = 3.0
    think_seconds: float = 0.02
    queries_dir: Path = BUNDLED


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
    queries = read_all(load_settings.queries_dir)
    work = _prepare(database, settings, load_settings, queries, owned)
    with tempfile.TemporaryDirectory(prefix="harness-load-") as directory:
        record = _drive(database, load_settings, work, Path(directory), on_progress)
    if record.lost_connection:
        raise DatabaseError(f"the load stopped: {record.lost_connection}")
    return summarize(queries, (record,), load_settings)


def summarize(
    queries: tuple[Query, ...], records: tuple[DriverRecord, ...], load_settings: LoadSettings
) -> LoadResult:
    """Figures of all drivers together."""
    by_query = {
        query.name: [q for record in records for q in record.queries if q.name == query.name]
        for query in queries
    }
    results = tuple(budget.result(query, by_query[query.name]) for query in queries)
    seconds = max(record.seconds for record in records)
    answered = sum(result.samples + result.errors for result in results)
    return LoadResult(
        users=load_settings.users,
        seconds=seconds,
        warmup_seconds=load_settings.warmup_seconds,
        requests_per_second=answered / seconds if seconds else 0.0,
        queries=results,
        notes=tuple(_notes(records)),
    )


def _notes(records: tuple[DriverRecord, ...]) -> Iterator[str]:
    for record in records:
        if record.seconds and record.cpu_seconds / record.seconds > SATURATED:
            share = record.cpu_seconds / record.seconds
            yield (
                f"the driver used {share:.0%} of a core: latencies are the driver's, not the "
                "server's; use fewer users or a longer think time"
            )


def _prepare(
    database: Target,
    settings: Settings,
    load_settings: LoadSettings,
    queries: tuple[Query, ...],
    owned: str | None,
) -> workload.Workload:
    with connect(database.loader) as connection:
        target.require(connection, owned)
        tenants = workload.draw_tenants(connection, settings, queries)
    return workload.Workload(
        queries=queries,
        tenants=tenants,
        set_tenant=settings.tenancy.set_tenant,
        tenant_column=settings.tenancy.column,
        warmup_seconds=load_settings.warmup_seconds,
        seconds=load_settings.seconds,
        think_seconds=load_settings.think_seconds,
    )


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
        dsn, options=f"{options} {timeout}".strip(), application_name="harness load"
    )


def _last(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"
