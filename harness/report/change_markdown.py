"""A comparison of two runs as Markdown, for a pull request."""

from __future__ import annotations

from harness.report import change_text as words
from harness.report.change import QueryChange, RunChange
from harness.report.markdown import cell, code, document, table

_SIGNS = {"worse": "✗ worse", "better": "✓ better", "same": "~", "new": "+ new", "gone": "– gone"}
_SHOWN = 50


def render(change: RunChange) -> str:
    """The verdict, what is worse, the queries that changed, and what else differs."""
    then, now = change.then, change.now
    moved = [_row(query) for query in change.queries if words.noteworthy(query)]
    headings = ("", "Query", "p50 ms", "p95 ms", "p99 ms", "p95 change", "What")
    others = (_part(heading, lines) for heading, lines in words.parts(change))
    return document(
        f"## {'✗' if change.worse else '✓'} Run {now.id[:12]} is {words.verdict(change)}",
        f"Against run {then.id[:12]} of {then.started_at:%Y-%m-%d %H:%M UTC}.",
        *(f"! {cell(note)}" for note in change.notes),
        table(("What is worse",), [(cell(line),) for line in change.worse], _SHOWN),
        "### Critical queries" if change.queries else "",
        words.told_compared(change) if change.queries else "",
        table(headings, moved, _SHOWN),
        *others,
    )


def _row(query: QueryChange) -> tuple[str, ...]:
    percentiles = (words.pair(query, name) for name in ("p50", "p95", "p99"))
    change, what = words.percent(query.change), cell(words.what(query))
    return (_SIGNS[query.way], code(query.query), *percentiles, change, what)


def _part(heading: str, lines: list[str]) -> str:
    rows = [(cell(line),) for line in lines]
    return f"### {heading}\n\n{table((f'{len(lines):,} in all',), rows, _SHOWN)}"
