"""harness drill backup."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import recording
from harness.cli.options import (
    ConfigFile,
    Context,
    Database,
    Dsn,
    NoColor,
    Output,
    Owned,
    Quiet,
    context,
)
from harness.config import server_dsn
from harness.db import Target
from harness.drill import backup as drills
from harness.drill.requirements import summarized
from harness.drill_result import DrillResult
from harness.report import terminal
from harness.server.embedded import embedded

drill_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

Programs = Annotated[
    Path | None,
    typer.Option(
        "--pg-bin",
        help="Directory of PostgreSQL's programs.",
        show_default="the embedded server's",
        exists=True,
        file_okay=False,
    ),
]
WorkDir = Annotated[
    Path | None,
    typer.Option(
        "--work-dir",
        help="Where to keep the backups meanwhile.",
        show_default="the directory for temporary files",
        exists=True,
        file_okay=False,
    ),
]


@drill_app.callback()
def drill() -> None:
    """Try what is meant to bring a database back, before it is needed."""


@drill_app.command()
def backup(
    dsn: Dsn = None,
    database: Database = None,
    programs: Programs = None,
    work_dir: WorkDir = None,
    output: Output = None,
    owned: Owned = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Take full and incremental backups and a dump, bring them back, and compare what is there."""
    ctx = context(dsn=dsn, database=database, config=config, quiet=quiet, no_color=no_color)
    with _summarized(ctx) as target, recording.record("drill backup", target, output) as recorded:
        tools = programs or embedded(ctx.settings).programs / "bin"
        place = work_dir or Path(tempfile.gettempdir())
        recorded.drill = drilled(ctx, target, tools, place, owned)
    if not quiet:
        terminal.print_drill(recorded.drill, ctx.console)
    raise typer.Exit(0 if recorded.drill.held else 1)


def drilled(
    ctx: Context, target: Target, programs: Path, work_dir: Path, owned: str | None
) -> DrillResult:
    """Drills with a progress bar."""
    with ctx.progress("Drilling") as moved:
        return drills.backup(target, ctx.settings, programs, work_dir, owned, moved)


@contextmanager
def _summarized(ctx: Context) -> Iterator[Target]:
    """The database to drill; the embedded server keeps summaries of its log meanwhile."""
    with ctx.target() as target:
        if server_dsn(ctx.settings) is not None:
            yield target
            return
        with summarized(target.admin):
            yield target
