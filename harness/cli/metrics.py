"""harness metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client.core import Metric

from harness import run as document
from harness.cli.options import (
    ConfigFile,
    Context,
    Database,
    Dsn,
    Quiet,
    context,
)
from harness.config import Settings, server_dsn
from harness.errors import DatabaseError
from harness.metrics import collector
from harness.metrics.exporter import serving
from harness.metrics.server import ServerMetrics
from harness.metrics.session import LiveSession
from harness.report.prometheus import RunCollector
from harness.server.embedded import embedded


def metrics(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run document to serve, read at each scrape.")
    ] = Path("harness-report/run.json"),
    dsn: Dsn = None,
    database: Database = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 9817,
    config: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Serve the metrics of the server and of the latest run for Prometheus, until interrupted."""
    ctx = context(dsn=dsn, database=database, config=config, quiet=quiet)
    if path.exists():
        document.load(path)  # fails now rather than at the first scrape
    server = ServerMetrics(partial(LiveSession, _conninfo(ctx.settings)), collector.read_all())
    _tell_server(ctx, server)

    def latest() -> Iterable[Metric]:
        return RunCollector(document.load(path)).collect() if path.exists() else ()

    with serving([server, latest], address, port) as bound:
        ctx.say(f"http://{address}:{bound}/metrics serves the server and {path}; Ctrl-C ends it")
        threading.Event().wait()


def _conninfo(settings: Settings) -> str:
    """Of the server to watch. The embedded one is neither started nor held up: who uses it does
    that, and what watches finds it when it is there."""
    dsn = server_dsn(settings)
    return embedded(settings).conninfo(settings.database) if dsn is None else dsn


def _tell_server(ctx: Context, server: ServerMetrics) -> None:
    try:
        server.session = server.open()
    except DatabaseError as error:
        ctx.say(f"{error}; its metrics are served as soon as it answers")
