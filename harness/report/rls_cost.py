"""What row security costs, in print: the dearest queries first, then the median."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.finding import Finding
from harness.rls_cost_result import QueryRlsCost, RlsCostResult

_METHOD = (
    "Each query was called under row security, and with a predicate on the tenant beside every "
    "table as a role that row security is not for, prepared, in turn and with the same values; "
    "times are {}; in brackets the ratio of medians in 95 % of resamples."
)
_CLOCKS = {
    True: "processor time of the server",
    False: "the client's, waits for processors included",
}
DEAREST = 15
"""So many are seen at once."""


def print_rls_cost(result: RlsCostResult, found: Iterable[Finding], console: Console) -> None:
    """A line for each query, findings, and the median."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("query", overflow="fold")
    for heading in ("ratio", "", "ms", "explicit", "blocks", "explicit"):
        table.add_column(heading, justify="right", no_wrap=True)
    for query in by_ratio(result):
        table.add_row(escape(query.name), *(escape(cell) for cell in cells(query)))
    console.print(table)
    for finding in found:
        told_finding = f"{finding.rule} {finding.severity}: {finding.object}: {finding.message}"
        console.print(f"[red]✗[/] {escape(told_finding)}: {escape(finding.why)}", soft_wrap=True)
    for line in told(result):
        console.print(escape(line), soft_wrap=True, highlight=False)


def by_ratio(result: RlsCostResult) -> list[QueryRlsCost]:
    """The queries that were compared, the dearest first."""
    return sorted(result.compared, key=lambda query: (-query.ratio, query.name))


def apart(result: RlsCostResult) -> tuple[list[QueryRlsCost], list[QueryRlsCost]]:
    """The dearest queries, and all others in the same order."""
    ordered = by_ratio(result)
    return ordered[:DEAREST], ordered[DEAREST:]


def cells(query: QueryRlsCost) -> tuple[str, ...]:
    """Ratio, its interval, milliseconds and blocks of both."""
    return (
        f"{query.ratio:.2f}",
        f"[{query.low:.2f}, {query.high:.2f}]",
        f"{query.secured_ms:.2f}",
        f"{query.explicit_ms:.2f}",
        f"{query.secured_buffers:,.0f}",
        f"{query.explicit_buffers:,.0f}",
    )


def told(result: RlsCostResult) -> Iterator[str]:
    """What could not be compared, the median, and the method."""
    yield from untold(result)
    yield summary(result)
    yield method(result)


def untold(result: RlsCostResult) -> Iterator[str]:
    """The queries that could not be compared, and why."""
    for query in result.queries:
        if query.note:
            yield f"{query.name}: not compared: {query.note}"


def summary(result: RlsCostResult) -> str:
    """The median query against the promise, in a line."""
    within = sum(query.ratio <= result.promise for query in result.compared)
    return (
        f"the median of {len(result.compared)} reading queries takes {result.median_ratio:.2f} "
        f"[{result.low:.2f}, {result.high:.2f}] times as long under row security (at most "
        f"{result.promise:g} is promised), {within} of "
        f"them at most {result.promise:g} times"
    )


def method(result: RlsCostResult) -> str:
    """How it was measured, and by which clock."""
    return _METHOD.format(_CLOCKS[result.in_processor_time])
