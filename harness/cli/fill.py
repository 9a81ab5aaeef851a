"""harness fill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

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
    write,
)
from harness.db import Target
from harness.report import terminal
from harness.run import FillResult

Tenants = Annotated[int, typer.Option(min=1, help="How many tenants.")]
Scale = Annotated[
    float, typer.Option(min=0.0001, help="Rows per tenant; 1 is about 100,000 for a small one.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same data.")]
Audited = Annotated[
    bool, typer.Option("--audit", help="Check what must hold of the filled data, too.")
]
Truths = Annotated[
    Path | None,
    typer.Option(
        "--truths",
        help="Directory of what must hold, <schema>/<area>.toml; implies --audit.",
        show_default="the bundled ones",
        exists=True,
        file_okay=False,
    ),
]


Recipes = Annotated[
    Path | None,
    typer.Option(
        "--recipes",
        help="Directory of recipes, <schema>/<area>.toml.",
        show_default="the bundled ones",
        exists=True,
        file_okay=False,
    ),
]
Planned = Annotated[
    bool, typer.Option("--plan", help="Print what was understood of the schema; write nothing.")
]
Named = Annotated[
    list[str] | None,
    typer.Option("--table", help="A table to tell every column of; implies --plan. Repeatable."),
]


class PlanFormat(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"


def fill(
    tenants: Tenants = 5,
    scale: Scale = 0.1,
    seed: Seed = 1,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The data's today.", show_default="today"),
    ] = None,
    recipes: Recipes = None,
    plan: Planned = False,
    table: Named = None,
    format: Annotated[PlanFormat, typer.Option(help="How to print the plan.")] = PlanFormat.TEXT,
    audit: Audited = False,
    truths: Truths = None,
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
    wanted = with_recipes(ctx, wanted, recipes)
    if plan or table:
        show_plan(ctx, wanted, table or [], format, output)
        return
    with ctx.target() as target, recording.record("fill", target, output) as recorded:
        recorded.fill = into(ctx, target, wanted, owned)
        if audit or truths:
            recorded.fill = audited(ctx, target, recorded.fill, truths)
        ctx.say(terminal.told_fill(recorded.fill))
        for line in (*recorded.fill.unmet, *recorded.fill.fewer):
            ctx.say(escape(line))
        for broken in recorded.fill.broken:
            ctx.say(escape(terminal.told_broken(broken)))
    raise typer.Exit(0 if recorded.fill.held else 1)


def settings(tenants: int, scale: float, seed: int, as_of: datetime | None) -> FillSettings:
    """Fill settings; without a date, the data's today is the day's first moment, UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    moment = as_of.replace(tzinfo=UTC) if as_of else today
    return FillSettings(tenants=tenants, scale=scale, seed=seed, as_of=moment)


def with_recipes(ctx: Context, wanted: FillSettings, recipes: Path | None = None) -> FillSettings:
    """The same with the directory of recipes that the option or a setting names."""
    directory = recipes or ctx.settings.recipes_dir
    return replace(wanted, recipes_dir=directory) if directory else wanted


def show_plan(
    ctx: Context, wanted: FillSettings, tables: list[str], format: PlanFormat, output: Path | None
) -> None:
    """Prints what a fill understands of the database."""
    from datagen import explain

    with ctx.target() as target:
        found = explain.read(target, ctx.settings, wanted)
    told = explain.text if format is PlanFormat.TEXT else explain.as_json
    write(told(found, tables), output)


def into(
    ctx: Context, target: Target, wanted: FillSettings, owned: str | None = None
) -> FillResult:
    """Fills with a progress bar."""
    # Every other command answers half a second sooner without pandas.
    from datagen.fill import fill as fill_database

    with ctx.progress("Filling") as moved:
        return fill_database(target, ctx.settings, wanted, owned, moved)


def into_audited(ctx: Context, target: Target, wanted: FillSettings) -> FillResult:
    """Fills, and checks what must hold of what is there then."""
    return audited(ctx, target, into(ctx, target, wanted))


def audited(
    ctx: Context, target: Target, filled: FillResult, truths: Path | None = None
) -> FillResult:
    """The same fill, and what breaks the truths that are stated in a directory."""
    from datagen import audit

    directory = truths or ctx.settings.truths_dir or audit.BUNDLED
    with ctx.progress("Auditing") as moved:
        found = audit.audit(target, ctx.settings, filled.as_of, directory, moved)
    return replace(filled, audit=found)
