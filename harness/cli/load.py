"""harness load, gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness import run as document
from harness.cli import growth as growths
from harness.cli import history, profiles, recording
from harness.cli import rls_cost as costs
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
from harness.errors import UsageError
from harness.report import terminal
from harness.run import LoadResult
from harness.server import activity, volume
from loadtests import baseline as baselines
from loadtests import judging
from loadtests import load as loading
from loadtests.arrivals import Kind
from loadtests.growth.growing import GrowthSettings
from loadtests.load import LoadSettings
from loadtests.query import BUNDLED
from loadtests.rls_cost.costing import CostSettings
from loadtests.tenants import Shares

Users = Annotated[int, typer.Option(min=1, help="Simulated users, a connection each.")]
Seconds = Annotated[float, typer.Option(min=1, help="How long to measure.")]
Warmup = Annotated[float, typer.Option(min=0, help="Seconds before measuring.")]
Think = Annotated[float, typer.Option(min=0, help="Mean seconds a user thinks.")]
Extend = Annotated[
    float,
    typer.Option(
        min=0, help="At most so many seconds more, for queries whose verdict is still open."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Drive only this query, or schema.*; may be repeated."),
]
Processes = Annotated[
    int, typer.Option(min=1, help="Driver processes that share the users and the rate.")
]
WEB_PORT = 8089
Web = Annotated[
    bool,
    typer.Option("--web", help=f"Serve Locust's pages, on loopback port {WEB_PORT}."),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RUN", help="A run document or a run of the history: fail where a query is worse."
    ),
]
Rate = Annotated[
    float,
    typer.Option(
        min=0,
        help="Open model: so many requests per second, whether the server keeps up or not; "
        "latencies count from when a request was due.",
        show_default="closed model",
    ),
]
Skew = Annotated[
    float,
    typer.Option(
        min=0, help="The n-th biggest tenant gets 1/n^SKEW of the biggest one's load (Zipf)."
    ),
]
Hot = Annotated[
    float,
    typer.Option(
        min=0, max=0.99, help="Share of all requests that the biggest tenant gets besides."
    ),
]
SqlDir = Annotated[
    Path, typer.Option("--sql", help="Directory of critical queries.", show_default="the bundled")
]
Growing = Annotated[
    bool,
    typer.Option(
        "--growth",
        help="Do not load: measure calls in databases of several sizes and tell how they grow.",
    ),
]
Scales = Annotated[
    str, typer.Option(help="With --growth: the fills to make and measure, the smallest first.")
]
Filled = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="With --growth: a database of the server that is filled already; the smallest first.",
    ),
]
To = Annotated[
    str,
    typer.Option(
        help="With --growth: what to extrapolate to, a factor on the largest or rows of a table.",
        metavar="FACTORx|ROWS",
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="With --growth: keep the databases.")]
RlsCost = Annotated[
    bool,
    typer.Option(
        "--rls-cost",
        help="Do not load: tell what row security adds to each reading query, beside the same "
        "with explicit predicates.",
    ),
]


def load(
    given: typer.Context,
    profile: profiles.Profile = None,  # noqa: ARG001 - sets what the others default to
    dsn: Dsn = None,
    database: Database = None,
    users: Users = 8,
    seconds: Seconds = 40.0,
    warmup: Warmup = 3.0,
    think: Think = 0.02,
    extend: Extend = 60.0,
    rate: Rate = 0.0,
    arrivals: Annotated[Kind, typer.Option(help="How requests of --rate come.")] = "constant",
    tenant_skew: Skew = 1.0,
    hot_tenant: Hot = 0.0,
    sql: SqlDir = BUNDLED,
    only: Only = None,
    processes: Processes = 1,
    web: Web = False,
    baseline: Baseline = None,
    growth: Growing = False,
    scales: Scales = "0.01,0.02,0.04",
    filled: Filled = None,
    to: To = "100x",
    keep: Keep = False,
    rls_cost: RlsCost = False,
    output: Output = None,
    owned: Owned = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Drive the critical queries and hold them to their budgets."""
    ctx = context(dsn=dsn, database=database, config=config, quiet=quiet, no_color=no_color)
    if growth:
        sizes = growths.Sizes.of(scales, filled or (), keep)
        asked = GrowthSettings(queries_dir=sql, only=tuple(only or ()), target=to)
        raise typer.Exit(0 if growths.growth(ctx, sizes, asked, output, owned) else 1)
    if rls_cost:
        compared_with = CostSettings(queries_dir=sql, only=tuple(only or ()))
        raise typer.Exit(0 if costs.rls_cost(ctx, compared_with, output, owned) else 1)
    wanted = LoadSettings(
        users=users,
        seconds=seconds,
        warmup_seconds=warmup,
        think_seconds=think,
        queries_dir=sql,
        extend_seconds=extend,
        rate=rate,
        arrivals=arrivals,
        shares=Shares(tenant_skew, hot_tenant),
        only=tuple(only or ()),
        processes=processes,
        web_port=WEB_PORT if web else 0,
    )
    if web:
        ctx.say(f"Locust serves its pages at http://127.0.0.1:{WEB_PORT} meanwhile")
    before = history.loaded(ctx, baseline) if baseline else None
    with ctx.target() as target, recording.record("load", target, output) as recorded:
        recorded.volume = volume.measure(target)
        wanted = profiles.on(target, given, wanted)
        driven = drive(ctx, target, wanted, owned)
        recorded.load = compared(driven, before, wanted) if before else driven
    if not quiet:
        terminal.print_load(recorded.load, ctx.console)
    raise typer.Exit(1 if judging.gate(recorded.load) else 0)


def compared(now: LoadResult, before: tuple[LoadResult, str], wanted: LoadSettings) -> LoadResult:
    """The load held against the same part of a stored one."""
    then, run_id = before
    return baselines.compare(now, baselines.restricted(then, wanted.only), run_id)


def drive(
    ctx: Context, target: Target, wanted: LoadSettings, owned: str | None = None
) -> LoadResult:
    """Loads with a progress bar, and tells what the server counted meanwhile."""
    before = activity.read(target)
    with ctx.progress("Loading") as moved:
        driven = loading.load(target, ctx.settings, wanted, owned, moved)
    return replace(driven, server=activity.between(before, activity.read(target)))


def gate(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run document (run.json).")],
    no_color: NoColor = False,
) -> None:
    """Turn the load of a run document into an exit code, naming each query that missed."""
    ctx = context(no_color=no_color)
    run = document.load(path)
    if run.load is None:
        raise UsageError(f"{path}: this run has no load to judge")
    for line in (broken := judging.gate(run.load)):
        typer.echo(line)
    held = len(run.load.queries) - len(run.missed)
    ctx.say(f"{held} of {len(run.load.queries)} budgets held")
    raise typer.Exit(1 if broken else 0)
