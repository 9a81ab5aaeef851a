"""How costs grow, in print: what grows first, then what cannot be told, and how many do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.finding import Finding
from harness.growth_result import Fit, GrowthPoint, GrowthResult, QueryGrowth, Shape

_COLUMNS = ("grows", "query", "blocks", "then")
_ORDER: tuple[Shape, ...] = ("quadratic", "n log n", "linear", "logarithmic", "constant")
METHOD = (
    "A cost is the blocks that a call touches, as PostgreSQL plans it or by indexes alone, "
    "whichever grows less: small tables are read whole because that is cheapest. The law is the "
    "one of the smallest AICc, and of those that it does not refute by 20 to 1 the one that grows "
    "least; in brackets what 95 % of 100 resamples say, their choice of a law included. An "
    "extrapolation holds while nothing else happens, as a table that no longer fits into memory."
)


def print_growth(result: GrowthResult, findings: Iterable[Finding], console: Console) -> None:
    """A table of what grows, then findings and the rest in lines."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in _COLUMNS:
        table.add_column(heading, overflow="fold")
    for query in growing(result):
        first, last = measured(query)
        then, blocks = between(query.buffers), f"{first.buffers:,.0f} → {last.buffers:,.0f}"
        table.add_row(law(query), escape(query.name), blocks, escape(then))
    console.print(table)
    for finding in findings:
        console.print(
            f"[red]✗[/] {finding.rule} {finding.severity}: {escape(finding.object)}: "
            f"{escape(finding.message)}: {escape(finding.why)}",
            soft_wrap=True,
            highlight=False,
        )
        console.print(f"    {escape(finding.fix)}", soft_wrap=True, highlight=False)
    for line in told(result):
        console.print(escape(line), soft_wrap=True, highlight=False)


def growing(result: GrowthResult) -> list[QueryGrowth]:
    """The queries whose cost grows at all, the worst first."""
    known = [q for q in result.queries if q.buffers and q.buffers.shape != "constant"]
    return sorted(known, key=lambda q: (_ORDER.index(_fit(q).shape), -_fit(q).at_target, q.name))


def steep(result: GrowthResult) -> list[QueryGrowth]:
    """Those of them that grow linearly or worse."""
    return [query for query in growing(result) if _fit(query).shape != "logarithmic"]


def law(query: QueryGrowth) -> str:
    """How the cost grows, and whether the header says so."""
    return _fit(query).shape + (" (declared)" if query.declared else "")


def measured(query: QueryGrowth) -> tuple[GrowthPoint, GrowthPoint]:
    """The largest tenant where the databases are smallest, and where they are largest."""
    scales = dict.fromkeys(point.scale for point in query.points)
    return query.points[0], query.points[min(len(scales), len(query.points)) - 1]


def between(fit: Fit | None) -> str:
    """An extrapolated cost with its interval."""
    return f"{fit.at_target:,.0f} [{fit.low:,.0f}, {fit.high:,.0f}]" if fit else "?"


def told(result: GrowthResult) -> Iterator[str]:
    """What was measured, what could not be, and by which method."""
    yield from untold(result)
    yield summary(result)
    yield METHOD


def untold(result: GrowthResult) -> Iterator[str]:
    """The queries of which nothing could be told, and why."""
    for query in result.queries:
        if query.note:
            yield f"{query.name}: nothing to tell: {query.note}"


def summary(result: GrowthResult) -> str:
    """How many grow in which way, and what was measured, in a line."""
    shapes = Counter(query.buffers.shape for query in result.queries if query.buffers)
    counts = ", ".join(f"{shapes[shape]} {shape}" for shape in reversed(_ORDER) if shapes[shape])
    return (
        f"{counts or 'nothing'} of {len(result.queries)} queries; {result.calls} calls for each "
        f"tenant at {', '.join(result.scales)}; extrapolated to {result.target}"
    )


def _fit(query: QueryGrowth) -> Fit:
    assert query.buffers  # noqa: S101 - asked only of queries that could be told
    return query.buffers
