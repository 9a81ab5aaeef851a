"""The figures that stand at the top of the page: one of each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.load_result import LoadResult
from harness.report import growth
from harness.run import Run


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, what it counts and whether it is as it should be."""

    title: str
    figure: str
    detail: str
    held: bool | None
    """None where it is no promise."""
    open: bool = False
    """Whether nothing is broken where it does not hold, but not all is decided."""

    @property
    def sign(self) -> str:
        """In a character."""
        return "?" if self.open else {True: "✓", False: "✗", None: ""}[self.held]

    @property
    def kind(self) -> str:
        """The class of style."""
        return "open" if self.open else "bad" if self.held is False else ""


def tiles(run: Run) -> tuple[Tile, ...]:
    """Of what the run did."""
    return tuple(_tiles(run))


def _tiles(run: Run) -> Iterator[Tile]:
    stages = {stage.name for stage in run.stages}
    if run.findings or {"check static", "check catalog"} & stages:
        blocking = len(run.blocking_findings)
        told = "in files and catalog" if stages else "of the load"
        if run.suppressed:
            told = f"{len(run.suppressed)} accepted"
        yield Tile("Findings", f"{blocking:,}", told, not blocking)
    if run.probes:
        objects = len({probe.object for probe in run.probes})
        told = f"in {len(run.probes):,} probes of {objects:,} objects"
        proven = not (run.leaks or run.weaknesses or run.unproven)
        yield Tile("Leaks", f"{len(run.leaks):,}", told, proven)
    if run.fill:
        told = (
            f"in {sum(1 for t in run.fill.tables if t.rows):,} tables, {run.fill.tenants} tenants"
        )
        yield Tile("Rows", f"{run.fill.rows:,}", told, run.fill.held)
    if run.load:
        yield from _of_load(run, run.load)
    yield from _of_trials(run)


def _of_load(run: Run, load: LoadResult) -> Iterator[Tile]:
    held, all_of = len(load.queries) - len(run.missed), len(load.queries)
    undecided = sum(query.verdict == "inconclusive" for query in run.missed)
    told = f"held, {undecided} not decided" if undecided else "latency budgets held"
    only = undecided == len(run.missed) > 0
    yield Tile("Budgets", f"{held} / {all_of}", told, not run.missed, only)
    rate = f"{load.requests_per_second:,.0f}"
    yield Tile("Requests/s", rate, f"{load.users} users, {load.seconds:.0f} s", None)
    if load.comparison:
        worse = len(load.comparison.regressions)
        told = f"against run {load.comparison.baseline[:8]}"
        yield Tile("Regressions", str(worse), told, not worse)


def _of_trials(run: Run) -> Iterator[Tile]:
    """What is tried by commands of its own."""
    if run.growth:
        steep, all_of = len(growth.steep(run.growth)), len(run.growth.queries)
        told = "queries grow linearly or worse"
        yield Tile("Growth", f"{steep} / {all_of}", told, None)
    if costs := run.rls_cost:
        told = f"time of the median query, × {costs.promise:g} promised"
        yield Tile("Row security", f"× {costs.median_ratio:.2f}", told, costs.held)
    if drill := run.drill:
        lost = f"{len(drill.findings)} not found again" if drill.findings else "all survived"
        told = f"rows backed up and restored in {drill.seconds:.0f} s, {lost}"
        yield Tile("Backup drill", f"{drill.rows:,}", told, drill.held)
