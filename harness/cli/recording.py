"""Puts a Run document together while a command works."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import psutil
from psycopg import errors

from harness import __version__
from harness import run as document
from harness.cli.options import write
from harness.db import Connection, Target, connect
from harness.growth_result import GrowthResult
from harness.rls_cost_result import RlsCostResult
from harness.run import (
    Attacked,
    DeployResult,
    DrillResult,
    Environment,
    FillResult,
    LoadResult,
    ProbeResult,
    Run,
    Stage,
)
from harness.verdict import Verdict
from harness.volume import Volume

Result = TypeVar("Result")

_TELLING = (
    "shared_buffers",
    "effective_cache_size",
    "work_mem",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers_per_gather",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "jit",
    "plan_cache_mode",
    "random_page_cost",
    "track_io_timing",
    "shared_preload_libraries",
)


@dataclass(slots=True)
class Recording:
    """The parts of a Run as they come in."""

    stages: list[Stage] = field(default_factory=list)
    deploy: DeployResult | None = None
    verdict: Verdict = field(default_factory=Verdict)
    fill: FillResult | None = None
    probes: tuple[ProbeResult, ...] = ()
    attacked: Attacked | None = None
    load: LoadResult = field(default=None)  # type: ignore[assignment]
    volume: Volume | None = None
    growth: GrowthResult | None = None
    rls_cost: RlsCostResult | None = None
    drill: DrillResult | None = None

    def stage(
        self, name: str, work: Callable[[], Result], held: Callable[[Result], bool]
    ) -> Result:
        """Does a stage's work and notes how long it took and whether all held."""
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        self.stages.append(Stage(name, "held" if held(result) else "failed", seconds))
        return result

    def run(self, command: str, started_at: object, target: Target) -> Run:
        """The document as it stands."""
        return Run(
            id=uuid4().hex,
            command=command,
            started_at=started_at,  # type: ignore[arg-type]
            finished_at=document.now(),
            environment=environment(target),
            stages=tuple(self.stages),
            deploy=self.deploy,
            findings=self.verdict.findings,
            suppressed=self.verdict.suppressed,
            fail_on=self.verdict.fail_on,
            fill=self.fill,
            probes=self.probes,
            attacked=self.attacked,
            load=self.load,
            volume=self.volume,
            growth=self.growth,
            rls_cost=self.rls_cost,
            drill=self.drill,
        )


@contextmanager
def record(command: str, target: Target, output: Path | None) -> Iterator[Recording]:
    """A recording that is written to `output`, if there is one, when the block ends well."""
    started_at = document.now()
    recording = Recording()
    yield recording
    if output is not None:
        write(document.to_json(recording.run(command, started_at, target)), output)


def environment(target: Target) -> Environment:
    """Where this run takes place."""
    with connect(target.admin) as connection:
        server = str(connection.info.parameter_status("server_version"))
        settings = _settings(connection)
        identifier = _system_identifier(connection)
    return Environment(
        harness_version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        server=server,
        database=str(target),
        commit=_commit(),
        system_identifier=identifier,
        settings=settings,
    )


def _system_identifier(connection: Connection) -> str:
    """Empty where the role may not read it."""
    try:
        with connection.transaction():
            row = connection.execute(
                "SELECT system_identifier::text FROM pg_control_system()"
            ).fetchone()
    except errors.InsufficientPrivilege:
        return ""
    return str(row[0]) if row else ""


def _settings(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s) ORDER BY name",
        [list(_TELLING)],
    )
    return dict(rows.fetchall())


def _commit() -> str:
    """The commit of the checkout that the command runs in, if it is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()
