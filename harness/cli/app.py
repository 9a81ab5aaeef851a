"""The command `harness`: its subcommands, each in the module of its subject."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import __version__
from harness.cli import (
    check,
    deploy,
    documenting,
    drill,
    fill,
    listing,
    load,
    metrics,
    mutate,
    planning,
    report,
    run,
    server,
    watch,
)

app = typer.Typer(
    name="harness",
    help="Proves that a multi-tenant PostgreSQL schema isolates its tenants and holds its "
    "latency budgets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def harness(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Options of every command stand behind it: harness deploy --help."""


app.command()(run.run)
app.command()(server.up)
app.command()(server.down)
app.command(context_settings={"ignore_unknown_options": True})(server.psql)
app.command()(server.doctor)
app.command()(deploy.deploy)
app.command()(fill.fill)
app.command()(check.check)
app.command()(mutate.mutate)
app.command()(load.load)
app.command()(load.gate)
app.command()(report.report)
app.command()(metrics.metrics)
app.command()(watch.watch)
app.command()(planning.plan)
listing.schema_app.command()(documenting.docs)
listing.schema_app.command()(documenting.erd)
listing.schema_app.command()(documenting.diff)
app.add_typer(listing.schema_app, name="schema", help="What a schema holds.")
app.add_typer(drill.drill_app, name="drill", help="Try what brings a database back.")
app.command()(listing.rules)
app.command()(listing.queries)
