"""harness watch."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.options import ConfigFile, Context, Database, Dsn, NoColor, context
from harness.config import server_dsn
from harness.db import Target, database_of
from harness.errors import DatabaseError
from harness.server.embedded import embedded, is_running
from harness.watch import screen
from harness.watch.frame import frame
from harness.watch.watching import Watched, views

Interval = Annotated[float, typer.Option(min=0.1, help="Seconds between two frames.")]
Once = Annotated[
    bool, typer.Option("--once", help="One frame, as always where stdout is no terminal.")
]


def watch(
    dsn: Dsn = None,
    database: Database = None,
    interval: Interval = 1.0,
    once: Once = False,
    config: ConfigFile = None,
    no_color: NoColor = False,
) -> None:
    """Watch a run that is going on, or any server; q ends it."""
    ctx = context(dsn=dsn, database=database, config=config, no_color=no_color)
    watched = _watched(ctx)
    console = Console(no_color=no_color or None, highlight=False)
    if once or not console.is_terminal:
        _require_running(ctx)
        _print_one(watched, console, interval)
        return
    with suppress(KeyboardInterrupt), screen.keys() as pause:
        screen.show(views(watched, interval, pause), console)


def _require_running(ctx: Context) -> None:
    if server_dsn(ctx.settings) is None and not is_running(embedded(ctx.settings)):
        raise DatabaseError(
            "the embedded server is not running: harness up starts it, --dsn names another one"
        )


def _print_one(watched: Watched, console: Console, interval: float) -> None:
    """The second of two frames, which has rates."""
    with closing(views(watched, interval, screen.waits)) as seen:
        *_, view = islice(seen, 2)
    if view.lost:
        raise DatabaseError(view.lost)
    width = console.width if sys.stdout.isatty() else 200
    for line in frame(view, width):
        console.print(line, soft_wrap=True)


def _watched(ctx: Context) -> Watched:
    """The server of the settings. The embedded one is looked at and neither started nor kept; it
    may not have the database yet, or no more."""
    dsn = server_dsn(ctx.settings)
    if dsn is not None:
        return Watched((dsn,), database_of(dsn), str(Target(dsn, dsn, dsn)))
    server = embedded(ctx.settings)
    target = server.target(ctx.settings.database, ctx.settings.roles)
    conninfos = target.admin, server.conninfo("postgres")
    return Watched(conninfos, ctx.settings.database, str(target))
