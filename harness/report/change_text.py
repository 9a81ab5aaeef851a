"""A comparison of two runs on a terminal: what is worse first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.report.change import Difference, Measured, QueryChange, RunChange
from harness.report.data import size

_SHOWN = 20
"""So many lines of a kind are printed; the other renderings have all."""
_SIGNS = {"worse": "[red]✗[/]", "better": "[green]✓[/]", "same": "~", "new": "+", "gone": "–"}


def print_change(change: RunChange, console: Console) -> None:
    """The verdict, what is worse, the queries that changed, and what else differs."""
    then, now = change.then, change.now
    console.print(
        f"{then.id[:12]} ({then.started_at:%Y-%m-%d %H:%M}) → {now.id[:12]} "
        f"({now.started_at:%Y-%m-%d %H:%M})",
        highlight=False,
    )
    for note in change.notes:
        console.print(f"[yellow]![/] {escape(note)}", soft_wrap=True)
    if moved := [query for query in change.queries if noteworthy(query)]:
        console.print(_queries(moved[:_SHOWN]))
        _more(moved, console)
    for heading, lines in parts(change):
        console.print(f"[bold]{heading}[/]")
        for line in lines[:_SHOWN]:
            console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
        _more(lines, console)
    _print_verdict(change, console)


def noteworthy(query: QueryChange) -> bool:
    """Whether more than chance differs."""
    return query.way != "same" or query.other_plan or query.other_verdict


def verdict(change: RunChange) -> str:
    """What came of it, in a line."""
    if change.worse:
        return f"worse in {len(change.worse)} {'way' if len(change.worse) == 1 else 'ways'}"
    better = sum(query.way == "better" for query in change.queries)
    return f"no worse; better queries: {better}" if better else "no worse"


def parts(change: RunChange) -> Iterator[tuple[str, list[str]]]:
    """What changed beside the latencies: headings and lines, those alone that say something."""
    yield from (
        (heading, lines)
        for heading, lines in (
            ("Stages", told(change.stages)),
            ("New findings", [f"{f.rule}: {f.message}" for f in change.findings_new]),
            ("Findings gone", [f"{f.rule}: {f.message}" for f in change.findings_gone]),
            ("Probes", [*told(change.probes), *_counted(change)]),
            ("Truths no longer true", [b.sentence for b in change.truths_new]),
            ("Truths that hold again", [b.sentence for b in change.truths_gone]),
            ("Volume", list(_volume(change))),
            ("Settings", told(change.settings)),
        )
        if lines
    )


def told(differences: Sequence[Difference]) -> list[str]:
    """A line each."""
    return [f"{each.what}: {each.then or '–'} → {each.now or '–'}" for each in differences]


def _counted(change: RunChange) -> Iterator[str]:
    if change.probes_new:
        yield f"probes of what was not there: {change.probes_new:,}"
    if change.probes_gone:
        yield f"probes of what is no longer there: {change.probes_gone:,}"


def _volume(change: RunChange) -> Iterator[str]:
    for each in change.volume:
        rows = f"{figure(each.rows_then)} → {figure(each.rows_now)} rows"
        sizes = [size(b) if b is not None else "–" for b in (each.bytes_then, each.bytes_now)]
        yield f"{each.schema}: {rows}, {' → '.join(sizes)}"


def figure(number: int | None) -> str:
    """A count, or that it is not known."""
    return "–" if number is None else f"{number:,}"


def _queries(changes: Sequence[QueryChange]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True, min_width=1)
    table.add_column("critical query", no_wrap=True)
    for heading in ("p95", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what")
    for query in changes:
        told_change = percent(query.change)
        table.add_row(
            _SIGNS[query.way], query.query, pair(query, "p95"), told_change, escape(what(query))
        )
    return table


def pair(query: QueryChange, name: str) -> str:
    """A percentile then and now."""
    return f"{_percentile(query.then, name)} → {_percentile(query.now, name)}"


def _percentile(side: Measured | None, name: str) -> str:
    return f"{getattr(side.latency, name):.1f}" if side and side.latency else "–"


def percent(change: float | None) -> str:
    """`+25%`, or that it is not known."""
    return "–" if change is None else f"{change:+.0%}"


def what(query: QueryChange) -> str:
    """What changed of a query, in words."""
    said = [query.detail] if query.detail else []
    if query.then and query.now and query.other_verdict and "→" not in query.detail:
        said.append(f"{query.then.verdict.upper()} → {query.now.verdict.upper()}")
    if query.other_plan:
        said.append("another plan")
    if not said:
        said = [{"new": "it was not driven", "gone": "it is no longer driven"}.get(query.way, "")]
    return "; ".join(said) or "no significant change"


def told_compared(change: RunChange) -> str:
    """How many queries were compared and how, in a line."""
    counts = {way: sum(q.way == way for q in change.queries) for way in ("worse", "better", "same")}
    return (
        f"{change.compared} queries compared: {counts['worse']} worse, {counts['better']} better, "
        f"{counts['same']} without significant change; the machine takes "
        f"{change.speed_factor:.2f} times as long, which is taken into account"
    )


def _more(lines: Sequence[object], console: Console) -> None:
    if len(lines) > _SHOWN:
        console.print(f"  … and {len(lines) - _SHOWN} more: --format html or json", highlight=False)


def _print_verdict(change: RunChange, console: Console) -> None:
    if change.queries:
        console.print(told_compared(change), soft_wrap=True, highlight=False)
    for line in change.worse[:_SHOWN]:
        console.print(f"[red]✗[/] {escape(line)}", soft_wrap=True, highlight=False)
    _more(change.worse, console)
    color = "red" if change.worse else "green"
    console.print(f"[bold {color}]{verdict(change).upper()}[/]", highlight=False)
