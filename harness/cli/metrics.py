"""harness metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client.core import Metric

from harness import run as document
from harness.cli.options import Quiet, context
from harness.metrics.exporter import serving
from harness.report.prometheus import RunCollector


def metrics(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run document to serve, read at each scrape.")
    ] = Path("harness-report/run.json"),
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 9817,
    quiet: Quiet = False,
) -> None:
    """Serve the metrics of the latest run for Prometheus, until interrupted."""
    document.load(path)  # fails now rather than at the first scrape

    def latest() -> Iterable[Metric]:
        return RunCollector(document.load(path)).collect()

    with serving([latest], address, port) as bound:
        context(quiet=quiet).say(f"http://{address}:{bound}/metrics serves {path}; Ctrl-C ends it")
        threading.Event().wait()
