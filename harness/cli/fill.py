"""harness fill."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from datagen import scales
from datagen.plan import FillSettings, Mode
from datagen.tenants import SKEW
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

MOST_WORKERS = 8
"""Unless somebody asks for more: the server needs CPUs, too."""
Tenants = Annotated[int | None, typer.Option(min=1, help="How many tenants.")]
Scale = Annotated[
    str,
    typer.Option(
        help="A factor on the rows of each tenant, or a preset: small (100,000 rows per tenant),"
        " medium (10 million rows in all), large (100 million)."
    ),
]
Skew = Annotated[
    float,
    typer.Option(min=0, max=5, help="Exponent of the Zipf law of tenant sizes; 0: all alike."),
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        metavar="TABLE=N|TABLE=*F",
        help="Exactly N rows in a table, all tenants together, or F times as many. Repeatable.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same data.")]
FillMode = Annotated[
    Mode,
    typer.Option(help="fast makes indexes and foreign keys after loading; the data are the same."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that fill, at most one for each tenant; any number gives the same data.",
        show_default="CPUs, at most 8",
    ),
]
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
AsOf = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"],
        help="The data's today, or their moment (UTC).",
        show_default="today",
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
    tenants: Annotated[
        int | None,
        typer.Option(min=1, help="How many tenants.", show_default="5, or as the preset has it"),
    ] = None,
    scale: Scale = "0.1",
    skew: Skew = SKEW,
    rows: Rows = None,
    seed: Seed = 1,
    as_of: AsOf = None,
    mode: FillMode = "live",
    recipes: Recipes = None,
    plan: Planned = False,
    table: Named = None,
    format: Annotated[PlanFormat, typer.Option(help="How to print the plan.")] = PlanFormat.TEXT,
    audit: Audited = False,
    truths: Truths = None,
    workers: Workers = None,
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
    wanted = replace(settings(tenants, scale, seed, as_of, skew, rows or ()), mode=mode)
    wanted = with_recipes(ctx, wanted, recipes)
    if plan or table:
        show_plan(ctx, wanted, table or [], format, output)
        return
    with ctx.target() as target, recording.record("fill", target, output) as recorded:
        recorded.fill = into(ctx, target, wanted, owned, workers)
        if audit or truths:
            recorded.fill = audited(ctx, target, recorded.fill, truths)
        ctx.say(terminal.told_fill(recorded.fill))
        for line in (*recorded.fill.unmet, *recorded.fill.fewer):
            ctx.say(escape(line))
        for broken in recorded.fill.broken:
            ctx.say(escape(terminal.told_broken(broken)))
    raise typer.Exit(0 if recorded.fill.held else 1)


def settings(
    tenants: int | None,
    scale: str,
    seed: int,
    as_of: datetime | None,
    skew: float = SKEW,
    rows: Sequence[str] = (),
) -> FillSettings:
    """Fill settings; without a date, the data's today is the day's first moment, UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    size = scales.size(scale, tenants)
    return FillSettings(
        tenants=size.tenants,
        scale=size.scale,
        total=size.total,
        seed=seed,
        as_of=as_of.replace(tzinfo=UTC) if as_of else today,
        skew=skew,
        rows=tuple(scales.row_count(text) for text in rows),
    )


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
    ctx: Context,
    target: Target,
    wanted: FillSettings,
    owned: str | None = None,
    workers: int | None = None,
) -> FillResult:
    """Fills with a progress bar, by a process for each CPU if nothing else is said."""
    # Every other command answers half a second sooner without pandas.
    from datagen.fill import fill as fill_database

    size = workers or min(cpus(), MOST_WORKERS)
    with ctx.progress("Filling") as moved:
        return fill_database(target, ctx.settings, wanted, owned, moved, workers=size, say=ctx.say)


def cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
