"""harness schema list, docs, erd and diff."""

from __future__ import annotations

import typer

from harness.cli import documenting, listing

schema_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@schema_app.callback()
def schema() -> None:
    """What a schema holds."""


schema_app.command("list")(listing.schema_list)
schema_app.command()(documenting.docs)
schema_app.command()(documenting.erd)
schema_app.command()(documenting.diff)
