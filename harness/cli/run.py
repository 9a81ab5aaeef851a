"""harness run: deploy, check, fill, attack, load and report, in one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from checks import catalog, isolation, selection, settling, static
from harness import run as document
from harness.cli import deploy, fill, history, load, report
from harness.cli.fill import AsOf, Audited, Scale, Seed, Tenants
from harness.cli.load import Extend, Seconds, Think, Users, Warmup
from harness.cli.options import (
    ConfigFile,
    Context,
    Database,
    Dsn,
    NoColor,
    Quiet,
    SchemaDir,
    context,
)
from harness.cli.recording import Recording
from harness.config import server_dsn
from harness.db import Target
from harness.history import counters
from harness.history.counters import Counters
from harness.report import terminal
from harness.run import FillResult
from harness.server import volume
from harness.server.claim import claimed_database
from loadtests.load import LoadSettings


def run(
    report_dir: Annotated[Path, typer.Option("--report-dir", help="Where the report goes.")] = Path(
        "harness-report"
    ),
    tenants: Tenants = 3,
    scale: Scale = "0.02",
    seed: Seed = 1,
    as_of: AsOf = None,
    audit: Audited = False,
    users: Users = 8,
    seconds: Seconds = 40.0,
    warmup: Warmup = 3.0,
    think: Think = 0.02,
    extend: Extend = 120.0,
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Deploy, check, fill, attack, load, report and remember: everything, at small scale."""
    ctx = context(
        dsn=dsn,
        database=database,
        schema_dir=schema_dir,
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    selection.require_known(ctx.settings.checks)
    settling.baseline_of(ctx.settings.checks)  # fails now rather than after the work
    wanted_fill = fill.with_recipes(ctx, fill.settings(tenants, scale, seed, as_of))
    wanted_load = LoadSettings(users, seconds, warmup, think, extend_seconds=extend)
    started_at = document.now()
    recorded = Recording()
    with _fresh(ctx) as (own, target):
        filled = partial(fill.into_audited if audit else fill.into, own, target, wanted_fill)
        counted = _everything(own, target, recorded, filled, wanted_load)
        finished = recorded.run("run", started_at, target)
        history.keep(ctx, finished, counted)
    report.write_all(finished, report_dir)
    if not quiet:
        terminal.print_run(finished, ctx.console)
    ctx.say(f"report: {report_dir / 'report.html'}")
    raise typer.Exit(0 if finished.held else 1)


@contextmanager
def _fresh(ctx: Context) -> Iterator[tuple[Context, Target]]:
    """An empty database for this run alone, or the one that a DSN names.

    On the embedded server a run begins with a database made anew. A second run at the same
    time gets the next free name.
    """
    if server_dsn(ctx.settings) is not None:
        with ctx.target() as target:
            yield ctx, target
        return
    with claimed_database(ctx.settings) as settings:
        own = Context(settings, ctx.console, ctx.quiet)
        with own.target() as target:
            deploy.make_anew(own, target)
            yield own, target


def _everything(
    ctx: Context,
    target: Target,
    recorded: Recording,
    filled: Callable[[], FillResult],
    wanted_load: LoadSettings,
) -> Counters | None:
    """All stages; what the server counted during the last one."""
    checks = ctx.settings.checks
    written = recorded.stage(
        "check static",
        lambda: static.examine([], ctx.settings),
        lambda examined: not settling.together(checks, examined).failed,
    )
    recorded.deploy = recorded.stage("deploy", lambda: deploy.into(ctx, target), lambda _: True)
    known = settling.together(checks, written).failing
    held = recorded.stage(
        "check catalog",
        lambda: catalog.examine(target, ctx.settings),
        lambda held: set(settling.together(checks, written, held).failing) <= set(known),
    )
    recorded.verdict = settling.together(checks, written, held)
    recorded.fill = recorded.stage("fill", filled, lambda result: result.held)
    recorded.attacked = isolation.attacked(target, ctx.settings)
    with ctx.progress("Attacking") as moved:
        recorded.probes = recorded.stage(
            "check isolation",
            lambda: isolation.check(target, ctx.settings, on_progress=moved),
            lambda probes: all(probe.verdict in ("held", "noted") for probe in probes),
        )
    recorded.volume = volume.measure(target)
    before = counters.read(target)
    recorded.load = recorded.stage(
        "load",
        lambda: load.drive(ctx, target, wanted_load),
        lambda loaded: all(query.verdict == "pass" for query in loaded.queries),
    )
    after = counters.read(target)
    return Counters(before, after) if before is not None and after is not None else None
