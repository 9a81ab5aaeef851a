"""Findings as annotations of GitHub Actions: workflow commands on standard output.

GitHub shows ten errors, ten warnings and ten notices of a step and drops the rest without a
word, so that the rest is counted in a notice, which comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.finding import Finding, Severity
from harness.verdict import Verdict, told_suppressed

SHOWN = 10
"""So many annotations of a level GitHub takes from one step."""
_COMMAND = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(verdict: Verdict) -> str:
    """A line per annotation; empty where nothing is to be said."""
    groups = {s: [f for f in verdict.findings if f.severity is s] for s in Severity}
    said = [*told_suppressed(verdict), *verdict.notes]
    if any(len(group) > SHOWN for group in groups.values()):
        said = [_counted(groups), *said]
    notice = [annotation("notice", {"title": "harness"}, "\n".join(said))] if said else []
    room = dict.fromkeys(Severity, SHOWN) | {Severity.INFO: SHOWN - len(notice)}
    lines = [_annotation(f) for severity, group in groups.items() for f in group[: room[severity]]]
    return "".join(f"{line}\n" for line in (*notice, *lines))


def _counted(groups: Mapping[Severity, Sequence[Finding]]) -> str:
    rest = [
        f"{len(group) - SHOWN} more of {len(group)} findings of severity {severity.value}"
        for severity, group in groups.items()
        if len(group) > SHOWN
    ]
    return f"GitHub does not show {' and '.join(rest)}: harness check without --format lists them"


def _annotation(finding: Finding) -> str:
    properties = {"title": f"{finding.rule} {finding.object}"}
    if finding.location is not None:
        place = {"file": finding.location.file, "line": str(finding.location.line)}
        properties = place | properties
    text = "\n".join(part for part in (finding.message, finding.why, finding.fix) if part)
    return annotation(_COMMAND[finding.severity], properties, text)


def annotation(command: str, properties: Mapping[str, str], text: str) -> str:
    """A workflow command: error, warning or notice."""
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{command} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
