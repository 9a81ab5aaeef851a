"""The command `harness`: its subcommands, each in the module of its subject.

To import them all takes as long as many a check, so a command line gets the one that it names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from harness import __version__

COMMANDS: Mapping[str, str] = {
    "run": "run",
    "up": "server",
    "down": "server",
    "psql": "server",
    "doctor": "server",
    "deploy": "deploy",
    "fill": "fill",
    "check": "check",
    "mutate": "mutate",
    "load": "load",
    "gate": "load",
    "report": "report",
    "metrics": "metrics",
    "watch": "watch",
    "plan": "planning",
    "schema": "schema",
    "drill": "drill",
    "rules": "listing",
    "queries": "listing",
}
"""The module of each command; a group of commands is `<command>_app` there."""
_SETTINGS: Mapping[str, dict[str, Any]] = {"psql": {"ignore_unknown_options": True}}


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command with the subcommand that words name; with all where they name none."""
    app = typer.Typer(
        name="harness",
        help="Proves that a multi-tenant PostgreSQL schema isolates its tenants and holds its "
        "latency budgets.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_harness)
    named = next((word for word in words if not word.startswith("-")), "")
    for name in [named] if named in COMMANDS else COMMANDS:
        _add(name, app)
    return app


def _add(name: str, app: typer.Typer) -> None:
    module = import_module(f"harness.cli.{COMMANDS[name]}")
    group = getattr(module, f"{name}_app", None)
    if group is not None:
        app.add_typer(group, name=name)
    else:
        app.command(context_settings=_SETTINGS.get(name))(getattr(module, name))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


def _harness(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Options of every command stand behind it: harness deploy --help."""
