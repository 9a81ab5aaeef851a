"""The history on a terminal: a line per run, and the way of each critical query."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from harness.history.read import History, PastRun, Trend

_BARS = "▁▂▃▄▅▆▇█"


def print_history(history: History, console: Console) -> None:
    """Runs, newest first, then the 95th percentiles, those nearest to their budget first."""
    if not history.runs:
        console.print("No run is stored yet: harness run stores one.")
        return
    console.print(_runs(history.runs))
    if history.trends:
        console.print()
        console.print(_trends(history.trends))


def _runs(runs: tuple[PastRun, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("", "started (UTC)", "commit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("s", "rows", "findings", "probes", "leaks", "queries", "missed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        figures = (run.rows, run.findings, run.probes, run.leaks, run.queries, run.missed)
        table.add_row(
            "[green]✓[/]" if run.held else "[red]✗[/]",
            f"{run.started_at:%Y-%m-%d %H:%M}",
            run.commit[:7] or "–",
            f"{run.seconds:.0f}",
            *(f"{figure:,}" for figure in figures),
        )
    return table


def _trends(trends: tuple[Trend, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("p95 in ms, oldest run first", no_wrap=True)
    for heading in ("budget", "first", "last"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for trend in sorted(trends, key=_share, reverse=True):
        budget = f"{trend.budget_ms:g}" if trend.budget_ms else "–"
        ends = (f"{trend.p95_ms[0]:.1f}", f"{trend.p95_ms[-1]:.1f}")
        table.add_row(trend.query, budget, *ends, sparkline(trend.p95_ms))
    return table


def _share(trend: Trend) -> float:
    """The part of its budget that the query used last."""
    return trend.p95_ms[-1] / trend.budget_ms if trend.budget_ms else 0


def sparkline(values: list[float]) -> str:
    """The values as bars from zero to their maximum."""
    top = max(values) or 1
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in values)
