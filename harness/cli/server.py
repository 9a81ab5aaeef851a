"""harness up, down, psql, doctor."""

from __future__ import annotations

import os
import subprocess
from typing import Annotated

import typer
from rich.markup import escape

from harness.cli.missing import tell_missing
from harness.cli.options import ConfigFile, Database, Dsn, NoColor, Quiet, context
from harness.config import server_dsn
from harness.errors import UsageError
from harness.server import database as databases
from harness.server import machine
from harness.server.binaries import tool
from harness.server.doctor import examine
from harness.server.embedded import embedded, keep, running, stop_keeping
from harness.server.examined import Answer


def up(config: ConfigFile = None, quiet: Quiet = False, database: Database = None) -> None:
    """Start the embedded server and keep it running until `harness down`."""
    ctx = context(config=config, quiet=quiet, database=database)
    server = embedded(ctx.settings)
    with running(server):
        databases.ensure(server.conninfo("postgres"), ctx.settings.database)
        keep(server)
    ctx.say(f"PostgreSQL 17 is up; its data and log are in {server.home}")
    typer.echo(server.conninfo(ctx.settings.database))


def down(config: ConfigFile = None, quiet: Quiet = False) -> None:
    """Stop the embedded server."""
    ctx = context(config=config, quiet=quiet)
    stop_keeping(embedded(ctx.settings))
    ctx.say("PostgreSQL is down")


def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="For psql, behind `--`.", show_default=False)
    ] = None,
    dsn: Dsn = None,
    database: Database = None,
    role: Annotated[
        str, typer.Option(help="app, loader or admin: as whom.", metavar="CAPACITY")
    ] = "admin",
    config: ConfigFile = None,
) -> None:
    """Open psql on the database, by default as its owner."""
    if role not in ("admin", "app", "loader"):
        raise UsageError(f"--role is admin, app or loader, not {role}")
    ctx = context(dsn=dsn, database=database, config=config)
    with ctx.target() as target:
        command = [tool("psql"), "--dbname", getattr(target, role), *(arguments or [])]
        done = subprocess.run(command, check=False, env={**os.environ, "PAGER": "less -S"})
    raise typer.Exit(done.returncode)


def doctor(
    dsn: Dsn = None, database: Database = None, config: ConfigFile = None, no_color: NoColor = False
) -> None:
    """Tell whether server and machine have what the harness needs, and what to do otherwise."""
    ctx = context(dsn=dsn, database=database, config=config, no_color=no_color)
    external = server_dsn(ctx.settings) is not None
    with ctx.target() as target:
        answers = examine(target, ctx.settings, external)
        answers += machine.examine(embedded(ctx.settings).home)
        tell_missing(ctx, target)
    signs = {Answer.GOOD: "[green]✓[/]", Answer.WARNING: "[yellow]![/]", Answer.BAD: "[red]✗[/]"}
    for question, answer, detail in answers:
        ctx.console.print(f"{signs[answer]} {question}: {escape(detail)}", soft_wrap=True)
    if any(answer is Answer.BAD for _, answer, _ in answers):
        raise typer.Exit(3)
