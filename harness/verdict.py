"""What a check comes to: the findings that count, those that do not, and whether it failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from harness.config import FailOn
from harness.finding import Finding, Severity, Suppressed

_ORDER = tuple(Severity)
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Findings in the order of reports, and from which severity on they fail."""

    findings: tuple[Finding, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    notes: tuple[str, ...] = ()
    """What is to be known besides, a line each."""
    fail_on: FailOn = "warning"

    @property
    def failing(self) -> tuple[Finding, ...]:
        """The findings that fail the check."""
        return tuple(f for f in self.findings if fails(f.severity, self.fail_on))

    @property
    def failed(self) -> bool:
        """Whether any finding fails it."""
        return bool(self.failing)


def fails(severity: Severity, fail_on: FailOn) -> bool:
    """Whether a severity reaches a threshold."""
    return fail_on != "never" and _ORDER.index(severity) <= _ORDER.index(Severity(fail_on))


def told_suppressed(verdict: Verdict) -> Iterator[str]:
    """How many findings were held back by what: nothing where none was."""
    counts = Counter(each.kind for each in verdict.suppressed)
    if counts["inSource"]:
        yield f"{_findings(counts['inSource'])} allowed beside the statement"
    if counts["external"]:
        yield f"{_findings(counts['external'])} held back by the baseline"


def _findings(count: int) -> str:
    return f"{count} finding{'s' * (count != 1)}"
