"""harness fill."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from datagen.plan import FillSettings
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
from harness.db import Target
from harness.report import terminal
from harness.run import FillResult

Tenants = Annotated[int, typer.Option(min=1, help="How many tenants.")]
Scale = Annotated[
    float, typer.Option(min=0.0001, help="Rows per tenant; 1 is about 100,000 for a small one.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same data.")]


def fill(
    tenants: Tenants = 5,
    scale: Scale = 0.1,
    seed: Seed = 1,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The data's today.", show_default="today"),
    ] = None,
    dsn: Dsn = None,
    database: Database = None,
    output: Output = None,
    owned: Owned = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Fill every table with believable tenants; run it again after an interruption."""
    ctx = context(dsn=dsn, database=database, config=config, quiet=quiet, no_color=no_color)
    wanted = settings(tenants, scale, seed, as_of)
    with ctx.target() as target, recording.record("fill", target, output) as recorded:
        recorded.fill = into(ctx, target, wanted, owned)
        ctx.say(terminal.told_fill(recorded.fill))
        for line in recorded.fill.unmet:
            ctx.say(line)
    raise typer.Exit(1 if recorded.fill.unmet else 0)


def settings(tenants: int, scale: float, seed: int, as_of: datetime | None) -> FillSettings:
    """Fill settings; without a date, the data's today is the day's first moment, UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    moment = as_of.replace(tzinfo=UTC) if as_of else today
    return FillSettings(tenants=tenants, scale=scale, seed=seed, as_of=moment)


def into(
    ctx: Context, target: Target, wanted: FillSettings, owned: str | None = None
) -> FillResult:
    """Fills with a progress bar."""
    # Every other command answers half a second sooner without pandas.
    from datagen.fill import fill as fill_database

    with ctx.progress("Filling") as moved:
        return fill_database(target, ctx.settings, wanted, owned, moved)
