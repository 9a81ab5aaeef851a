"""harness metrics."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness import run as document
from harness.cli.options import ConfigFile, Context, Database, Dsn, Quiet, context
from harness.config import Settings, server_dsn
from harness.errors import DatabaseError
from harness.metrics import collector, exporter
from harness.metrics import server as live
from harness.metrics.sampling import sampling
from harness.metrics.server import ServerMetrics
from harness.metrics.session import LiveSession, observing
from harness.report.latest import LatestRun
from harness.server.embedded import embedded


def metrics(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run document to serve, once it is there.")
    ] = Path("harness-report/run.json"),
    dsn: Dsn = None,
    database: Database = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 9817,
    top: Annotated[
        int, typer.Option(min=1, help="So many statements and tables are named.")
    ] = live.TOP,
    max_series: Annotated[
        int, typer.Option(min=1, help="Series that a scrape has at most.")
    ] = exporter.MAX_SERIES,
    collectors: Annotated[
        list[Path] | None,
        typer.Option(help="Directory of further collectors, .toml files.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Serve the metrics of the server and of the latest run for Prometheus, until interrupted."""
    ctx = context(dsn=dsn, database=database, config=config, quiet=quiet)
    if path.exists():
        document.load(path)  # fails now rather than at the first scrape
    conninfo, column = _conninfo(ctx.settings), ctx.settings.tenancy.column
    asked = collector.read_all(collector.BUNDLED, *(collectors or ()))
    server = ServerMetrics(partial(LiveSession, conninfo), asked, top, tell=ctx.say)
    _look(ctx, server)
    with (
        sampling(partial(observing, conninfo), column) as activity,
        exporter.serving([server, activity, LatestRun(path)], address, port, max_series) as bound,
    ):
        ctx.say(f"http://{address}:{bound}/metrics serves the server and {path}; Ctrl-C ends it")
        threading.Event().wait()


def _conninfo(settings: Settings) -> str:
    """Of the server to watch. The embedded one is neither started nor held up: who uses it does
    that, and what watches finds it when it is there."""
    dsn = server_dsn(settings)
    return embedded(settings).conninfo(settings.database) if dsn is None else dsn


def _look(ctx: Context, server: ServerMetrics) -> None:
    """Tells what will not be seen."""
    try:
        session = server.open()
    except DatabaseError as error:
        ctx.say(f"{error}; its metrics are served as soon as it answers")
        return
    server.session = session
    if missing := session.unseen():
        ctx.say(missing)
