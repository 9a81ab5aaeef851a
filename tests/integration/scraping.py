"""A Prometheus of the test's own, on loopback, that scrapes `harness metrics` every second."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from dashboards.asking import Prometheus
from tests.conftest import ROOT

PATIENCE = 30
"""Seconds that a machine at its limit may take to begin."""
_SCRAPED = (
    "count(count_over_time(harness_run_held[1m]) >= 3) + count(ALERTS)"
    " + count(harness_tenant_activity_share)"
)
"""Three scrapes, for rates; an evaluation of the rules; a look at tenants."""


@contextmanager
def scraped(dsn: str, run: Path, directory: Path) -> Iterator[Prometheus]:
    """One with the rules of dashboards/, after some scrapes and an evaluation."""
    exporter, own = _free_port(), _free_port()
    with ExitStack() as started:
        served = [sys.executable, "-m", "harness", "metrics", str(run), "--port", str(exporter)]
        started.enter_context(_process(served, directory / "exporter.log", HARNESS_DSN=dsn))
        scraping = _command(directory, exporter, own)
        started.enter_context(_process(scraping, directory / "prometheus.log"))
        prometheus = Prometheus(f"http://127.0.0.1:{own}")
        _wait(prometheus, directory)
        yield prometheus


def installed() -> bool:
    """Whether Prometheus can be run here."""
    return shutil.which("prometheus") is not None


def _command(directory: Path, exporter: int, port: int) -> list[str]:
    rules = [str(path) for path in sorted((ROOT / "dashboards/prometheus/rules").glob("*.yml"))]
    target = {"job_name": "harness", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": rules,
        "scrape_configs": [target],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


@contextmanager
def _process(command: Sequence[str], log: Path, **environment: str) -> Iterator[None]:
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env={**os.environ, **environment}
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait(prometheus: Prometheus, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if not prometheus.fault(_SCRAPED):
                return
        except OSError:
            pass
        time.sleep(0.2)
    logs = "\n".join(path.read_text(encoding="utf-8") for path in directory.glob("*.log"))
    raise TimeoutError(f"nothing was scraped for {PATIENCE} s\n{logs}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
