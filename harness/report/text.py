"""Findings for people: the verdict first, then file by file, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from io import StringIO
from itertools import groupby
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from harness.finding import Finding, Severity
from harness.verdict import Verdict, told_suppressed

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_INDENT = " " * 16


def render(verdict: Verdict, checked: str = "", *, color: bool = False, width: int = 100) -> str:
    """The report as text; `checked` says what was looked at: `84 tables by 43 rules`.

    The reason of a rule stands with its first finding, the SQL to paste with each.
    """
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(_verdict(verdict, checked), soft_wrap=True)
        for line in (*told_suppressed(verdict), *verdict.notes):
            console.print(Text(line, "dim"), soft_wrap=True)
        explained: set[str] = set()
        for file, group in groupby(verdict.findings, key=_file):
            console.print(f"\n[bold]{file}[/]" if file else "", soft_wrap=True)
            for finding in group:
                _print(finding, finding.rule not in explained, console)
                explained.add(finding.rule)
    return capture.get()


def told(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 warning`, or `nothing found`."""
    counts = Counter(finding.severity for finding in findings)
    parts = [_counted(counts[severity], severity.value) for severity in Severity]
    return ", ".join(part for part in parts if part) or "nothing found"


def _verdict(verdict: Verdict, checked: str) -> Text:
    word = Text("FAILED", "bold red") if verdict.failed else Text("HELD", "bold green")
    return Text.assemble(word, f" {told(verdict.findings)}{f' in {checked}' if checked else ''}")


def _print(finding: Finding, explain: bool, console: Console) -> None:
    line = f"{finding.location.line:>5}" if finding.location else "     "
    head = Text(f"{line}  ").append(f"{finding.severity.value:<7}", _STYLE[finding.severity])
    head.append(f"  {finding.rule}  {finding.message}")
    console.print(head, soft_wrap=True)
    if explain:
        for row in wrap(finding.why, console.width - len(_INDENT)):
            console.print(Text(_INDENT + row, "dim"), soft_wrap=True)
    for row in finding.fix.splitlines():
        console.print(Text(_INDENT + row, "green"), soft_wrap=True)


def _file(finding: Finding) -> str:
    return finding.location.file if finding.location else ""


def _counted(count: int, noun: str) -> str:
    if noun == "info":
        return f"{count} to be known" if count else ""
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""
