"""The figures that stand at the top of the page: one of each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.load_result import LoadResult
from harness.run import Run


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, what it counts and whether it is as it should be."""

    title: str
    figure: str
    detail: str
    held: bool | None
    """None where it is no promise."""

    @property
    def sign(self) -> str:
        """In a character."""
        return {True: "✓", False: "✗", None: ""}[self.held]


def tiles(run: Run) -> tuple[Tile, ...]:
    """Of what the run did."""
    return tuple(_tiles(run))


def _tiles(run: Run) -> Iterator[Tile]:
    stages = {stage.name for stage in run.stages}
    if run.findings or {"check static", "check catalog"} & stages:
        blocking = len(run.blocking_findings)
        told = f"{len(run.suppressed)} accepted" if run.suppressed else "in files and catalog"
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


def _of_load(run: Run, load: LoadResult) -> Iterator[Tile]:
    held, all_of = len(load.queries) - len(run.missed), len(load.queries)
    told = "latency budgets held"
    yield Tile("Budgets", f"{held} / {all_of}", told, not run.missed)
    rate = f"{load.requests_per_second:,.0f}"
    yield Tile("Requests/s", rate, f"{load.users} users, {load.seconds:.0f} s", None)
    if load.comparison:
        worse = len(load.comparison.regressions)
        told = f"against run {load.comparison.baseline[:8]}"
        yield Tile("Regressions", str(worse), told, not worse)
