"""Locust in processes of its own: started, waited for, and what each of them recorded.

Several processes share the users and the rate. Each is a Locust of its own that keeps its own
histograms, which add up without loss, so a driver is not bound to one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.db import Target
from harness.errors import HarnessError
from loadtests import recorder, waits, workload
from loadtests.recorder import DriverRecord
from loadtests.workload import Workload

Progress = Callable[[float, float], None]
"""Called with seconds gone and seconds in all."""

STATEMENT_TIMEOUT = "30s"


@dataclass(frozen=True, slots=True)
class Driving:
    """How many users drive in how many processes; `web_port` serves Locust's pages, or 0."""

    users: int
    processes: int = 1
    web_port: int = 0

    def users_of(self, part: int) -> int:
        """Users of one process."""
        return self.users // self.processes + (part < self.users % self.processes)


def drive(
    database: Target, driving: Driving, work: Workload, directory: Path, on_progress: Progress
) -> tuple[DriverRecord, ...]:
    """Drives the workload to its end; what each process recorded.

    Raises HarnessError where a process died.
    """
    with ExitStack() as started:
        processes = [
            started.enter_context(_locust(database, driving, work, directory, part))
            for part in range(min(driving.processes, driving.users))
        ]
        _wait(processes, work.warmup_seconds + work.seconds, on_progress)
    return tuple(_record(directory, part, each) for part, each in enumerate(processes))


def _wait(
    processes: Sequence[subprocess.Popen[bytes]], seconds: float, on_progress: Progress
) -> None:
    started = time.monotonic()
    while any(process.poll() is None for process in processes):
        on_progress(min(time.monotonic() - started, seconds), seconds)
        time.sleep(0.2)


@contextmanager
def _locust(
    database: Target, driving: Driving, work: Workload, directory: Path, part: int
) -> Iterator[subprocess.Popen[bytes]]:
    """One Locust process, ended when the block ends."""
    parts = min(driving.processes, driving.users)
    own = replace(work, rate=work.rate / parts, part=part, parts=parts)
    workload.write(own, directory / f"workload-{part}.json")
    environment = {
        **os.environ,
        "HARNESS_WORKLOAD": str(directory / f"workload-{part}.json"),
        "HARNESS_LOAD_RECORD": str(_record_path(directory, part)),
        "HARNESS_LOAD_DSN": _with_timeout(database.app),
        "HARNESS_LOAD_DATABASE": str(database),
    }
    with _log(directory, part).open("wb") as output:
        command = _command(driving, part)
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)


def _command(driving: Driving, part: int) -> list[str]:
    users = str(driving.users_of(part))
    locustfile = str(Path(__file__).with_name("locustfile.py"))
    command = [sys.executable, "-m", "locust", "-f", locustfile, "--only-summary"]
    command += ["--users", users, "--spawn-rate", users]
    # Users end between requests: one that is killed in the middle leaves the run hanging.
    command += ["--stop-timeout", "30", "--exit-code-on-error", "0", "--loglevel", "WARNING"]
    if not driving.web_port:
        return [*command, "--headless"]
    port = str(driving.web_port + part)
    return [*command, "--autostart", "--web-host", "127.0.0.1", "--web-port", port]


def _record(directory: Path, part: int, process: subprocess.Popen[bytes]) -> DriverRecord:
    path = _record_path(directory, part)
    if not path.exists():
        told = _last(_log(directory, part))
        raise HarnessError(f"the Locust process failed (exit {process.returncode}): {told}")
    return recorder.read(path)


def _record_path(directory: Path, part: int) -> Path:
    return directory / f"record-{part}.json"


def _log(directory: Path, part: int) -> Path:
    return directory / f"locust-{part}.log"


def _with_timeout(dsn: str) -> str:
    options = conninfo_to_dict(dsn).get("options") or ""
    timeout = f"-c statement_timeout={STATEMENT_TIMEOUT}"
    return make_conninfo(
        dsn, options=f"{options} {timeout}".strip(), application_name=waits.APPLICATION
    )


def _last(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"
