"""Findings as Markdown, for the summary of a step of GitHub Actions or a comment.

GitHub takes 1 MiB of summary from a step and drops the whole of a longer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.finding import Finding
from harness.report.text import told
from harness.verdict import Verdict, told_suppressed

ROWS = 1000
"""So many rows of a table are shown."""
_CELL = 500
"""So many characters of a cell; with ROWS rows of three such cells no summary is too long for
long texts alone."""
LIMIT = 1_000_000
"""Bytes of a summary, a little less than GitHub takes."""


def render(verdict: Verdict, checked: str = "") -> str:
    """The verdict, then a table of findings, worst first."""
    word = "✗ Failed" if verdict.failed else "✓ Held"
    return document(
        f"## {word}: {told(verdict.findings)}{f' in {checked}' if checked else ''}",
        *told_suppressed(verdict),
        *verdict.notes,
        table(("Rule", "Finding", "Where"), [_row(f) for f in _worst_first(verdict.findings)]),
    )


def document(*blocks: str) -> str:
    """Blocks with blank lines between them, as many as GitHub takes."""
    text, kept = "", True
    for block in filter(None, blocks):
        kept = len(f"{text}{block}".encode()) < LIMIT
        if not kept:
            break
        text += f"{block}\n\n"
    return text if kept else f"{text}The rest is too long for a summary: see the report.\n"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], shown: int = ROWS) -> str:
    """A table of the first rows, of cells made by `cell` or `code`, and how many there are more;
    nothing where there are none."""
    if not rows:
        return ""
    lines = [_line(headings), _line(["---"] * len(headings))]
    lines += [_line(row) for row in rows[:shown]]
    if len(rows) > shown:
        lines.append(f"\n… and {len(rows) - shown:,} more")
    return "\n".join(lines)


def cell(text: str) -> str:
    """Text that stays in its cell and is taken for nothing else."""
    short = text if len(text) <= _CELL else f"{text[:_CELL]}…"
    for taken in ("\\", "|", "`", "*", "_", "<", "[", "@"):
        short = short.replace(taken, f"\\{taken}" if taken != "@" else "&#64;")
    return " ".join(short.split())


def code(text: str) -> str:
    """Text as code in a cell; it has no place for what ends code or cell."""
    return f"`{' '.join(text.replace('`', ' ').replace('|', ' ').split())}`" if text else ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    order = ("error", "warning", "info")
    return sorted(findings, key=lambda finding: order.index(finding.severity.value))


def _row(finding: Finding) -> tuple[str, str, str]:
    place = str(finding.location) if finding.location else finding.object
    return f"{finding.rule} ({finding.severity.value})", cell(finding.message), code(place)
