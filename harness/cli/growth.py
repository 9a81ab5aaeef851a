"""harness load --growth: databases of several sizes, made or named, and what grows with them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from datagen.plan import FillSettings
from harness.cli import deploy, fill, recording
from harness.cli.options import Context
from harness.db import Target
from harness.errors import UsageError
from harness.report import growth as telling
from harness.server import database as databases
from harness.verdict import Verdict
from loadtests.growth import growing, judging
from loadtests.growth.growing import GrowthSettings
from loadtests.growth.measuring import Database

FEWEST = 3
"""Two sizes do not tell a law from another."""
TENANTS, SEED = 2, 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """The databases that queries are measured in: fills of these scales, or ones that are there."""

    scales: tuple[str, ...]
    filled: tuple[str, ...] = ()
    """Names of databases that are filled already, the smallest first."""
    keep: bool = False

    @staticmethod
    def of(scales: str, filled: Sequence[str], keep: bool) -> Sizes:
        """Sizes from options; UsageError where they are too few or in no order."""
        wanted = tuple(part.strip() for part in scales.split(",") if part.strip())
        if filled:
            if len(filled) < FEWEST:
                raise UsageError(f"--filled: give at least {FEWEST} databases, the smallest first")
            return Sizes((), tuple(filled))
        try:
            numbers = [float(part) for part in wanted]
        except ValueError:
            numbers = []
        if len(numbers) < FEWEST or numbers != sorted(set(numbers)) or numbers[0] <= 0:
            raise UsageError(
                f"--scales {scales}: give at least {FEWEST}, the smallest first: 0.01,0.02,0.04"
            )
        return Sizes(wanted, keep=keep)


def growth(
    ctx: Context,
    sizes: Sizes,
    wanted: GrowthSettings,
    output: Path | None = None,
    owned: str | None = None,
) -> bool:
    """Measures, tells and writes how costs grow; whether nothing was found."""
    judging.size(wanted.target)  # fails now rather than after the work
    with ctx.target() as target, recording.record("growth", target, output) as recorded:
        named = sizes.filled
        measured = (
            [_measured(ctx, beside(target, name), name, wanted, owned) for name in named]
            if named
            else _made(ctx, target, sizes, wanted)
        )
        with ctx.progress("Fitting") as moved:
            found = growing.judged(measured, ctx.settings, wanted, moved)
        recorded.growth = found.result
        recorded.verdict = Verdict(found.findings, fail_on=ctx.settings.checks.fail_on)
    if not ctx.quiet:
        telling.print_growth(found.result, recorded.verdict.findings, ctx.console)
    return not recorded.verdict.failed


def _measured(
    ctx: Context, target: Target, scale: str, wanted: GrowthSettings, owned: str | None = None
) -> Database:
    with ctx.progress(f"Measuring {scale}") as moved:
        return growing.measure(target, ctx.settings, scale, wanted, owned, moved)


def _made(ctx: Context, target: Target, sizes: Sizes, wanted: GrowthSettings) -> list[Database]:
    """Databases of this run's own, each filled and measured."""
    ctx.say(
        f"Makes a database for each of the scales {', '.join(sizes.scales)}: deploys the schema "
        "once and fills it for each, all tables whatever is asked of them, which takes minutes."
    )
    measured = []
    with _deployed(ctx, target, sizes) as made:
        for scale, own in zip(sizes.scales, made, strict=True):
            fill.into(ctx, own, _filling(ctx, scale))
            measured.append(_measured(ctx, own, scale, wanted))
    return measured


def _filling(ctx: Context, scale: str) -> FillSettings:
    return fill.with_recipes(ctx, fill.settings(TENANTS, scale, SEED, None))


@contextmanager
def _deployed(ctx: Context, target: Target, sizes: Sizes) -> Iterator[list[Target]]:
    """Databases with the schema, dropped at the end unless they are to be kept."""
    run = secrets.token_hex(3)
    names = [f"harness_growth_{run}_{number}" for number in range(1, len(sizes.scales) + 1)]
    made = [beside(target, name) for name in names]
    with ExitStack() as dropped:
        for name in names:
            databases.copy(target.admin, name, names[0] if name != names[0] else "template0")
            if not sizes.keep:
                dropped.callback(databases.drop, target.admin, name)
            if name == names[0]:
                deploy.into(ctx, made[0])
        yield made
    if sizes.keep:
        ctx.say("again: harness load --growth " + " ".join(f"--filled {name}" for name in names))


def beside(target: Target, name: str) -> Target:
    """Another database of the same server."""
    of = (make_conninfo(dsn, dbname=name) for dsn in (target.admin, target.app, target.loader))
    return Target(*of)
