"""Findings as annotations of GitHub Actions: workflow commands on standard output.

GitHub shows ten errors and ten warnings of a step and drops the rest without a word, so the
rest is counted in a notice.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.finding import Finding, Severity

SHOWN = 10
"""So many annotations of a level GitHub takes from one step."""
_COMMAND = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(findings: Sequence[Finding]) -> str:
    """A line per annotation; empty where nothing was found."""
    shown = [
        finding
        for severity in Severity
        for finding in [f for f in findings if f.severity is severity][:SHOWN]
    ]
    lines = [_annotation(finding) for finding in shown]
    if len(shown) < len(findings):
        lines.append(
            f"::notice title=harness::{len(findings)} findings, of which GitHub shows"
            f" {len(shown)}; the log of harness check has them all"
        )
    return "".join(f"{line}\n" for line in lines)


def _annotation(finding: Finding) -> str:
    properties = {"title": f"{finding.rule} {finding.object}"}
    if finding.location is not None:
        place = {"file": finding.location.file, "line": str(finding.location.line)}
        properties = place | properties
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    text = "\n".join(part for part in (finding.message, finding.why, finding.fix) if part)
    return f"::{_COMMAND[finding.severity]} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
